#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/abandoned_policy.hpp"
#include "base/error.hpp"
#include "base/status.hpp"
#include "store/accounts.hpp"
#include "store/database.hpp"
#include "store/ids.hpp"

/// What keeps the ledger tidy: abandoned authorizations, expired orders, history. Functions return after
/// their commit.
namespace csrq::store {

/// How abandoned authorizations of a CA are settled.
struct CaPolicy {
  std::string ca{};
  std::string directory{};
  AbandonedPolicy abandoned{AbandonedPolicy::deactivate};
  int deactivate_per_hour{2};  ///< for each identifier and account
};
/// Tells the database what the configuration says.
void set_ca_policies(Database& database, const std::vector<CaPolicy>& policies);

/// Returns how many orders were closed. Does these chores:
/// - closes orders, and writes off pending authorizations, whose time at the CA is over;
/// - makes the partitions of the next months' events;
/// - drops full rate buckets, and gives back what cancelled orders were charged;
/// - tells waiting accounts that their turn has become sooner.
std::int64_t tidy(Database& database);

/// An authorization whose deactivation has begun: the CA is to be asked, and settled() to be told.
struct AuthorizationToSettle {
  AuthorizationId id{};
  std::string url{};
  std::string identifier{};  ///< empty: it was never read
  std::string customer{};
  AccountOwner owner{};
};

/// Which authorizations a sweep is about.
struct SweepScope {
  std::vector<std::string> directories{};  ///< of the CAs that this process can ask
  std::string customer{};                  ///< empty: all
  bool valid{false};  ///< the customer's valid ones, since it leaves, instead of abandoned pending ones
};
/// Takes up to `limit` authorizations that are due within the budget. One that is not settled is due again
/// five minutes later.
std::vector<AuthorizationToSettle> claim_to_settle(Database& database, const SweepScope& scope, int limit);

/// What claim_to_settle() would take, and the rest of the scope's abandoned ones that are not due yet.
std::vector<AuthorizationToSettle> to_settle(Database& database, const SweepScope& scope);

/// Right before the CA is asked. False: an order needs it by now, or it is over.
[[nodiscard]] bool begin_settling(Database& database, AuthorizationId authorization);

/// What the CA says the authorization is now (nothing: unknown), or why it could not be deactivated. `again`:
/// the trouble may pass, so it is tried again, three times in all.
struct Settlement {
  std::optional<AuthorizationStatus> status{};
  std::optional<Failure> failure{};
  bool again{false};
};
void settled(Database& database, AuthorizationId authorization, const Settlement& settlement);

/// A row of csrq.pending_authorizations; times are RFC 3339 in UTC, empty for null.
struct PendingAuthorization {
  AuthorizationId id{};
  std::string ca{};
  std::string customer{};
  std::string identifier{};
  std::string created_at{};
  std::string expires_at{};
  std::vector<std::int64_t> needed_by{};  ///< requests
  std::string disposition{};
  std::string disposition_at{};
  std::string url{};
};
/// `customer`: empty for all. Oldest first.
std::vector<PendingAuthorization> pending_authorizations(Database& database, const std::string& customer);

/// A row of csrq.history().
struct HistoryRow {
  std::string at{};  ///< RFC 3339, UTC
  std::string what{};
  std::string worker{};  ///< host:pid; empty: none
  std::string detail{};  ///< JSON
};
std::vector<HistoryRow> history(Database& database, RequestId request);

using Pruned = std::vector<std::pair<std::string, std::int64_t>>;
/// Calls csrq.prune() until nothing is left to remove, with at most `batch` rows of each kind in a
/// transaction. Returns what was removed, and how many of each. Throws UsageError for less than a day, or a
/// missing privilege.
Pruned prune(Database& database, Duration keep, int batch = 10'000);

}  // namespace csrq::store
