#include "workers/janitor.hpp"

#include "cas/put_in_force.hpp"

namespace csrq::workers {
namespace {

constexpr std::chrono::seconds pause{30};

}  // namespace

Janitor::Janitor(store::Database& database, cas::CaPool& cas, accounts::Accounts& accounts)
    : database_(database), cas_(cas), accounts_(accounts) {
  cas::put_policies_in_force(database, cas);
  cas::put_limits_in_force(database, cas);
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
