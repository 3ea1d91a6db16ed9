#include "issuance/world.hpp"

#include <algorithm>
#include <memory>
#include <utility>

#include "config/config.hpp"
#include "proofs/http_01.hpp"

namespace csrq::issuance {

proofs::Catalogue configured_proofs(const Config& config, const cas::CaPool& cas) {
  const Http01Config& http_01 = config.challenges.http_01;
  std::unique_ptr<proofs::SelfChecks> self_checks;
  if (http_01.self_check)
    self_checks = std::make_unique<proofs::SelfChecks>(
        http_01.self_check_networks,
        std::min({config.worker.threads, config.worker.in_flight, cas.orders_in_flight()}));
  std::vector<std::unique_ptr<const proofs::Proof>> all;
  all.push_back(std::make_unique<proofs::Http01>(std::move(self_checks)));
  return proofs::Catalogue(std::move(all));
}

World::World(const Config& config, store::Database& database_, const store::DatabaseClock& clock_,
             cas::CaPool& cas_, accounts::Accounts& accounts_, proofs::Catalogue proofs_)
    : retry(config.retry),
      renewal(config.renewal),
      account_rules(config.accounts),
      challenges(config.challenges),
      database(database_),
      clock(clock_),
      cas(cas_),
      accounts(accounts_),
      resolver(config.dns.server),
      proofs(std::move(proofs_)) {}

}  // namespace csrq::issuance
