#include "workers/janitor.hpp"

#include "base/log.hpp"
#include "issuance/rate_limits.hpp"

namespace csrq::workers {
namespace {

constexpr std::chrono::seconds pause{30};

}  // namespace

Janitor::Janitor(store::Database& database, issuance::CaPool& cas, issuance::Accounts& accounts)
    : database_(database), cas_(cas), accounts_(accounts) {
  store::set_ca_policies(database, cas.configs());
  for (const CaConfig& ca : cas.configs()) issuance::put_limits_in_force(database, ca);
}

Janitor::~Janitor() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  stop_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Janitor::start() {
  thread_ = std::thread([this] { do_rounds(); });
}

issuance::SweepTally Janitor::round(const std::function<bool()>& stopped) {
  store::tidy(database_);
  return issuance::sweep(database_, cas_, accounts_, {}, stopped);
}

void Janitor::do_rounds() {
  std::unique_lock lock(mutex_);
  while (!stop_.wait_for(lock, pause, [this] { return stopping_.load(); })) {
    lock.unlock();
    try {
      round([this] { return stopping_.load(); });
    } catch (const std::exception& error) {
      log::warning("the ledger could not be tidied; tried again", {{"error", error.what()}});
    }
    lock.lock();
  }
}

}  // namespace csrq::workers
