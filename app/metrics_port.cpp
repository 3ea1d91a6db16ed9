#include "app/metrics_port.hpp"

#include <utility>

#include "base/error.hpp"

namespace csrq::app {

void MetricsPort::serve(const std::string& address, Collect collect) {
  if (address == listens_at_) return change_to(std::move(collect));
  const std::string before = listens_at_;
  stop_listening();  // the next may want the same port, and whom `collect` is for may have no figures
  change_to(std::move(collect));
  try {
    listen(address);
  } catch (const UsageError&) {
    change_to({});
    listen(before);
    throw;
  }
}

void MetricsPort::stop_collecting() {
  change_to({});
}

std::string MetricsPort::address() const {
  return server_ ? server_->address() : "none";
}

void MetricsPort::listen(const std::string& address) {
  if (!address.empty()) server_.emplace(address, [this] { return metrics(); });
  listens_at_ = address;
}

void MetricsPort::stop_listening() {
  server_.reset();
  listens_at_.clear();
}

void MetricsPort::change_to(Collect collect) {
  const Lock lock(collecting_);
  collect_ = std::move(collect);
}

std::vector<workers::Metric> MetricsPort::metrics() {
  const Lock lock(collecting_);
  return collect_ ? collect_() : workers::metrics_without_worker();
}

}  // namespace csrq::app
