#include "workers/renewer.hpp"

#include "base/log.hpp"
#include "issuance/issuers.hpp"
#include "store/incidents.hpp"

namespace csrq::workers {
namespace {

constexpr std::chrono::seconds pause{30};

}  // namespace

Renewer::Renewer(const RenewalConfig& config, store::Database& database, issuance::CaPool& cas)
    : config_(config), database_(database), windows_(database, cas) {}

void Renewer::start() {
  rounds_.start(pause, "renewals could not be planned; tried again",
                [this](const std::function<bool()>& stopped) { round(stopped); });
}

issuance::WindowsTally Renewer::round(const std::function<bool()>& stopped) {
  issuance::name_issuers(database_);
  while (!stopped() && store::fill_incidents(database_) > 0) {
  }
  if (!config_.ari) return {};
  const issuance::WindowsTally tally = windows_.round(stopped);
  if (tally.moved > 0)
    log::info("renewals are planned when their CAs want them", {{"renewals", tally.moved}});
  return tally;
}

}  // namespace csrq::workers
