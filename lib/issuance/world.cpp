#include "issuance/world.hpp"

#include <algorithm>

#include "config/config.hpp"

namespace csrq::issuance {

World::World(const Config& config, store::Database& database_, const store::DatabaseClock& clock_,
             CaPool& cas_, Accounts& accounts_)
    : retry(config.retry),
      renewal(config.renewal),
      account_rules(config.accounts),
      challenges(config.challenges),
      database(database_),
      clock(clock_),
      cas(cas_),
      accounts(accounts_),
      resolver(config.dns.server) {
  if (challenges.http_01.self_check)
    self_checks.emplace(challenges.http_01.self_check_networks,
                        std::min({config.worker.threads, config.worker.in_flight, cas.orders_in_flight()}));
}

}  // namespace csrq::issuance
