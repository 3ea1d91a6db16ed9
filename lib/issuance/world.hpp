#pragma once

#include "accounts/accounts.hpp"
#include "cas/ca_pool.hpp"
#include "dns/resolver.hpp"
#include "proofs/choice.hpp"
#include "store/database.hpp"
#include "store/database_clock.hpp"

namespace csrq {
struct AccountsConfig;
struct ChallengesConfig;
struct Config;
struct RenewalConfig;
struct RetryConfig;
}  // namespace csrq

namespace csrq::issuance {

/// The proofs that csrq can give, each as it is configured.
proofs::Catalogue configured_proofs(const Config& config, const cas::CaPool& cas);

/// What all steps of a process work with. Thread-safe.
struct World {
  /// All but `proofs` must outlive this.
  World(const Config& config, store::Database& database, const store::DatabaseClock& clock, cas::CaPool& cas,
        accounts::Accounts& accounts, proofs::Catalogue proofs);

  const RetryConfig& retry;
  const RenewalConfig& renewal;
  const AccountsConfig& account_rules;
  const ChallengesConfig& challenges;
  store::Database& database;
  const store::DatabaseClock& clock;
  cas::CaPool& cas;
  accounts::Accounts& accounts;
  dns::Resolver resolver;
  const proofs::Catalogue proofs;
};

}  // namespace csrq::issuance
