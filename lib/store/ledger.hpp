#pragma once

#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/status.hpp"
#include "store/accounts.hpp"
#include "store/database.hpp"
#include "store/ids.hpp"
#include "store/rate_limits.hpp"

/// Orders, authorizations and challenges as they are written down. Functions return after their commit.
namespace csrq::store {

/// Thrown when a fenced ledger write found the lease gone (or its row cancelled). The step ends, and writes
/// nothing more. Fenced writes throw RowLocked, too.
class LeaseLost : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Throws LeaseLost with a sentence.
[[noreturn]] void lease_lost(const Fence& fence);

struct OpenOrder {
  OrderId id{};
  std::string url{};  ///< empty: newOrder was not answered, as far as we know
  bool fresh{};       ///< this call has written its intent: no newOrder was sent for it yet
  bool is_charged{};  ///< to limits of the CA
  /// How long ago the CA was asked to go on with it: to look at its challenges, or, after that, to finalize
  /// it.
  std::optional<Duration> asked_ago{};
  bool asks_anew{};  ///< csrq.retry() wants the CA asked once more
  /// A cancelled row had left the order at the CA, and this call took it over. It may be dead by now.
  bool is_adopted() const { return fresh && !url.empty(); }
};

struct OpenOrderResult {
  std::optional<OpenOrder> order{};
  std::optional<NotYet> not_yet{};  ///< set when order is not
};

/// When a new order may be opened.
struct OrderRules {
  int most_in_flight{std::numeric_limits<int>::max()};  ///< under the account, over all workers, about
  bool is_limited{
      false};  ///< the CA has limits: the call shares no transaction, for the buckets that it locks
};
/// The request's open order, or the committed intent of a new one, which is charged to the CA's limits.
/// Writes down the names, too. `domains`: whose limits the names draw on. Throws LeaseLost.
OpenOrderResult open_order(Database& database, const Fence& fence, AccountId account,
                           const std::vector<std::string>& names, const std::vector<std::string>& domains,
                           const OrderRules& rules = {});

struct OrderRecord {
  OrderId id{};
  OrderStatus status{};
  std::string url{};
  std::string finalize_url{};
  std::string certificate_url{};
  std::optional<Time> expires{};
  std::vector<std::string> authorizations{};
};
/// False: the CA handed out another request's order, and ours is closed. Throws LeaseLost. Even then the
/// order is written down, closed, so that nothing at the CA is unknown.
[[nodiscard]] bool record_order(Database& database, const Fence& fence, const OrderRecord& order);

enum class WaitForOther { waits, over };
/// Called after record_order() has said false. Puts the row off until the order with this URL is closed;
/// over: it is closed already, and nothing was written. Throws LeaseLost.
[[nodiscard]] WaitForOther wait_for_order(Database& database, const Fence& fence, const std::string& url,
                                          const Failure& why);

struct ChallengeRecord {
  std::string type{};
  std::string url{};
  std::string token{};  ///< empty: its type has none
  ChallengeStatus status{};
  std::string key_authorization{};  ///< empty: no response in place (any more)
  std::string error{};              ///< problem document, JSON; empty: none
};
struct AuthorizationRecord {
  std::string url{};
  std::string identifier{};
  bool wildcard{};
  AuthorizationStatus status{};
  std::optional<Time> expires{};
  std::optional<ChallengeRecord> challenge{};  ///< the one csrq uses
};
/// Throws LeaseLost.
void record_authorizations(Database& database, const Fence& fence,
                           const std::vector<AuthorizationRecord>& authorizations);

/// Which of these order URLs the ledger does not have, in their order.
std::vector<std::string> unknown_orders(Database& database, const std::vector<std::string>& urls);

/// Writes the intent to finalize, since finalize cannot be undone. Throws LeaseLost if the lease is gone or
/// the row cancelled.
void begin_finalize(Database& database, const Fence& fence, OrderId order);

/// Whether the order is certainly over. By the order's own `expires` and the database's clock the CA has had
/// an hour to forget it; or the CA has forgotten the account of the order (its key has been registered anew
/// since).
bool has_run_out(Database& database, OrderId order);

/// Closes an order that is dead (invalid, lost) or given up; the next attempt opens another. Throws
/// LeaseLost.
void close_order(Database& database, const Fence& fence, OrderId order, OrderStatus status,
                 const Failure& why);

struct CertificateToRevoke {
  std::string der{};
  AccountOwner owner{};
};
std::optional<CertificateToRevoke> certificate_to_revoke(Database& database, RequestId request);

/// What http-01 serves for this token; nothing: 404.
std::optional<std::string> key_authorization(Database& database, const std::string& token);

}  // namespace csrq::store
