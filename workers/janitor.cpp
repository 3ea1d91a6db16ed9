#include "workers/janitor.hpp"

#include "issuance/put_in_force.hpp"

namespace csrq::workers {
namespace {

constexpr std::chrono::seconds pause{30};

}  // namespace

Janitor::Janitor(store::Database& database, issuance::CaPool& cas, issuance::Accounts& accounts)
    : database_(database), cas_(cas), accounts_(accounts) {
  issuance::put_policies_in_force(database, cas);
  issuance::put_limits_in_force(database, cas);
}

void Janitor::start() {
  rounds_.start(pause, "the ledger could not be tidied; tried again",
                [this](const std::function<bool()>& stopped) { round(stopped); });
}

issuance::SweepTally Janitor::round(const std::function<bool()>& stopped) {
  issuance::SweepTally tally;
  do_each({{.name = "tidying the ledger", .run = [&] { store::tidy(database_); }},
           {.name = "settling authorizations",
            .run = [&] { tally = issuance::sweep(database_, cas_, accounts_, {}, stopped); }}});
  return tally;
}

}  // namespace csrq::workers
