#include "workers/renewer.hpp"

#include "base/log.hpp"
#include "config/renewal.hpp"
#include "renewals/issuers.hpp"
#include "store/incidents.hpp"
#include "store/renewals.hpp"

namespace csrq::workers {
namespace {

constexpr std::chrono::seconds pause{30};

}  // namespace

Renewer::Renewer(const RenewalConfig& config, store::Database& database, cas::CaPool& cas)
    : config_(config), database_(database), windows_(database, cas) {}

void Renewer::start() {
  rounds_.start(pause, "renewals could not be planned; tried again",
                [this](const std::function<bool()>& stopped) { round(stopped); });
}

renewals::WindowsTally Renewer::round(const std::function<bool()>& stopped) {
  renewals::WindowsTally tally;
  do_each({{.name = "naming issuers", .run = [&] { renewals::name_issuers(database_); }},
           {.name = "incidents", .run = [&] { fill_incidents(stopped); }},
           {.name = "levelling renewals", .run = [&] { level(stopped); }},
           {.name = "renewal information", .run = [&] { tally = ask_for_windows(stopped); }}});
  return tally;
}

void Renewer::fill_incidents(const std::function<bool()>& stopped) {
  while (!stopped() && store::fill_incidents(database_) > 0) {
  }
}

renewals::WindowsTally Renewer::ask_for_windows(const std::function<bool()>& stopped) {
  if (!config_.ari) return {};
  const renewals::WindowsTally tally = windows_.round(stopped);
  if (tally.moved > 0)
    log::info("renewals are planned when their CAs want them", {{"renewals", tally.moved}});
  return tally;
}

void Renewer::level(const std::function<bool()>& stopped) {
  if (config_.level_days == 0) return;
  const std::int64_t moved = store::level_renewals(database_, config_.level_days, stopped);
  if (moved > 0) log::info("a spike of renewals is levelled", {{"moved_ahead", moved}});
}

}  // namespace csrq::workers
