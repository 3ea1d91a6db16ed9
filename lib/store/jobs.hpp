#pragma once

#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "base/account_policy.hpp"
#include "base/error.hpp"
#include "base/time.hpp"
#include "store/database.hpp"
#include "store/ids.hpp"

/// The queue: claims and what becomes of them. Functions return after their commit. The bool of a write says
/// whether the worker still had the lease; if not, nothing was written. If somebody's open transaction has
/// the row locked, they throw RowLocked.
namespace csrq::store {

enum class JobKind { issue, renew, revoke };

/// A leased row: everything a step may know about it. Overrides are the row's, else the customer's, else
/// empty.
struct Claim {
  Fence fence{};
  std::string customer{};
  JobKind kind{};
  int attempt{};   ///< times claimed, this one included
  int failures{};  ///< in a row
  int revoke_reason{};
  std::string csr{};
  std::string ca{};
  std::string profile{};
  std::string challenge{};
  std::string preferred_chain{};
  std::vector<std::string> names{};  ///< as a former attempt read them from the CSR
};

/// An issued certificate, checked.
struct Issued {
  OrderId order{};
  std::string chain{};    ///< PEM, end-entity first
  std::string issuers{};  ///< PEM, without the end-entity
  std::string der{};      ///< of the end-entity
  std::string serial{};
  std::string renewal_info_id{};  ///< empty: none
  Time not_before{};
  Time not_after{};
  Time renew_at{};
  std::string warning{};  ///< for the history; empty: none
};

WorkerId worker_start(Database& database, const std::string& host, int pid, const std::string& version);
/// False: the database has lost this worker, or was promoted, restored or copied. The worker's leases are
/// over.
bool is_registered(Database& database, WorkerId worker);
/// Gives back what the worker still holds; returns how many rows.
std::int64_t worker_stop(Database& database, WorkerId worker);

/// How rows are shared out among customers.
struct ClaimRules {
  AccountPolicy policy{
      AccountPolicy::per_customer};  ///< rows are left alone whose account may open no order now
  int most_per_customer{std::numeric_limits<int>::max()};  ///< that this worker holds at once
  int most_per_account{std::numeric_limits<int>::max()};   ///< that all workers hold at once, about
  bool renewals_only{false};  ///< renewals that fell due; one asked for by hand has the priority of its row
};
std::vector<Claim> claim(Database& database, WorkerId worker, int limit, Duration lease,
                         const ClaimRules& rules = {});
/// Prolongs these leases. Returns those that the worker must drop: they are lost, or their rows were
/// cancelled.
std::vector<Fence> heartbeat(Database& database, WorkerId worker, const std::vector<Fence>& leases,
                             Duration lease);
/// csrq.retry() was called for a row while a worker had it.
struct RetryWish {
  Fence fence{};
  bool asks_anew{};  ///< the CA is asked once more for what it is at work on, be it with another order
};
/// The retries since the last call, of rows that wait in this worker; each is told once. A retry that comes
/// while a step is under way ends the wait that the step leads to.
std::vector<RetryWish> take_retries(Database& database, WorkerId worker, const std::vector<Fence>& waiting);
/// Somebody had the rows of these leases locked. Gives back the rows that are free again, without counting a
/// failure. Returns the leases that this worker has no more.
std::vector<Fence> give_back_unlocked(Database& database, WorkerId worker, const std::vector<Fence>& locked);
/// Worker processes that are not taken for dead; at least 1.
int live_workers(Database& database);
/// Takes leases from dead workers; returns how many.
std::int64_t rescue(Database& database);
/// Parks rows of suspended customers that csrq.suspend() could not reach, and frees rows of resumed customers
/// that csrq.resume() could not reach.
void follow_suspensions(Database& database);
/// Does what somebody asked for while the rows were locked (csrq.wish). Returns how much of it could be done.
std::int64_t carry_out_wishes(Database& database);
/// Makes rows due that a claim passed over because another claim was at them.
bool is_anything_due(Database& database, bool renewals_only);
/// Moves due renewals into the queue; returns how many. `per_hour`: how many all workers together may move
/// within any hour; 0: no cap.
std::int64_t renew_due(Database& database, int limit, int per_hour = 0);
/// NOTIFY csrq_request: wakes apps that LISTEN, so that they look at their rows. Do not call it for each row.
/// It has a transaction of its own: PostgreSQL's queue may be full because somebody does not read it, and
/// then nothing else fails with it. Throws TryAgain then.
void notify_changes(Database& database);

[[nodiscard]] bool complete(Database& database, const Fence& fence, const Issued& issued);
[[nodiscard]] bool complete_revocation(Database& database, const Fence& fence);
/// A failure that counts. Permanent ones park the row; the others back off by `schedule` or the CA's
/// retry_after, whichever is later.
[[nodiscard]] bool record_failure(Database& database, const Fence& fence, const Failure& failure,
                                  const std::vector<Duration>& schedule);
/// Puts the row back into the queue for later, without counting a failure. `why`: null if there is nothing to
/// tell.
[[nodiscard]] bool put_off(Database& database, const Fence& fence, Duration wait, const Failure* why);
/// Writes down what a row waits for while its worker keeps it.
[[nodiscard]] bool explain_wait(Database& database, const Fence& fence, const Failure& why);
/// False if the row was not cancelled after all.
[[nodiscard]] bool drop_cancelled(Database& database, const Fence& fence);

}  // namespace csrq::store
