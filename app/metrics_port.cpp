#include "app/metrics_port.hpp"

#include <utility>

#include "base/error.hpp"

namespace csrq::app {

void MetricsPort::serve(const std::string& address, Collect collect) {
  change_to(std::move(collect));
  if (address == listens_at_) return;
  server_.reset();  // the next may want the same port
  try {
    listen(address);
  } catch (const UsageError&) {
    change_to({});
    listen(listens_at_);
    throw;
  }
  listens_at_ = address;
}

void MetricsPort::stop_collecting() {
  change_to({});
}

std::string MetricsPort::address() const {
  return server_ ? server_->address() : "none";
}

void MetricsPort::listen(const std::string& address) {
  if (!address.empty()) server_.emplace(address, [this] { return metrics(); });
}

void MetricsPort::change_to(Collect collect) {
  const std::scoped_lock lock(collecting_);
  collect_ = std::move(collect);
}

std::vector<workers::Metric> MetricsPort::metrics() {
  const std::scoped_lock lock(collecting_);
  return collect_ ? collect_() : workers::metrics_without_worker();
}

}  // namespace csrq::app
