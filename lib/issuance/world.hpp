#pragma once

#include <optional>

#include "dns/resolver.hpp"
#include "issuance/accounts.hpp"
#include "issuance/ca_pool.hpp"
#include "issuance/self_checks.hpp"
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

/// What all steps of a process work with. Thread-safe.
struct World {
  /// All must outlive this.
  World(const Config& config, store::Database& database, const store::DatabaseClock& clock, CaPool& cas,
        Accounts& accounts);

  const RetryConfig& retry;
  const RenewalConfig& renewal;
  const AccountsConfig& account_rules;
  const ChallengesConfig& challenges;
  store::Database& database;
  const store::DatabaseClock& clock;
  CaPool& cas;
  Accounts& accounts;
  dns::Resolver resolver;
  std::optional<SelfChecks> self_checks{};  ///< none: responses are not looked at before the CA does
};

}  // namespace csrq::issuance
