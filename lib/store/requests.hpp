#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "store/database.hpp"
#include "store/ids.hpp"

/// What the command line asks of csrq.request and the views.
namespace csrq::store {

struct Submission {
  std::string customer{};
  std::string csr{};        ///< PEM
  std::string reference{};  ///< empty: none
  std::string ca{};
  std::string profile{};
  std::string challenge{};
  std::string preferred_chain{};
  std::string priority{"normal"};
  bool auto_renew{true};
  std::optional<std::size_t> stands_in_for{};  ///< index of an earlier submission of the same call
  std::optional<RequestId> replaces{};         ///< not renewed any more once this one is issued
  std::optional<bool> reuse_chain{};           ///< none: as the customer says
};
struct Submitted {
  RequestId id{};
  bool created{};  ///< false: a request with this customer and reference was there already
};
/// All or nothing, in one transaction. Throws UsageError with the database's sentence and hint if a row is
/// refused.
std::vector<Submitted> submit(Database& database, const std::vector<Submission>& submissions);

/// A row of csrq.status; times are RFC 3339 in UTC, empty for null.
struct StatusRow {
  RequestId id{};
  std::string customer{};
  std::vector<std::string> names{};
  std::string state{};
  int attempts{};
  int failures{};
  std::string next_attempt_at{};
  std::string earliest_issue_at{};
  std::string error{};  ///< JSON
  std::string not_after{};
  std::string renew_at{};
  std::optional<int> days_left{};
  std::string worker{};
  std::string updated_at{};
  std::optional<RequestId> replaces{};
  std::optional<RequestId> replaced_by{};
  std::string issued_by{};
};
struct StatusFilter {
  std::optional<RequestId> id{};
  std::string domain{};  ///< with everything below it
  std::string customer{};
  int limit{1000};
};
/// Newest first.
std::vector<StatusRow> status(Database& database, const StatusFilter& filter);

/// How many requests stand in each state.
std::map<std::string, std::int64_t> count_by_state(Database& database);
/// Jobs that may be claimed now, and those leased by whomever.
struct QueueDepth {
  std::int64_t due{};
  std::int64_t leased{};
  std::int64_t waiting{};
};
/// `longest`: the database gives up then (TryAgain).
QueueDepth queue_depth(Database& database, std::optional<Duration> longest = std::nullopt);

/// Nothing: no such request, or no chain yet.
std::optional<std::string> chain(Database& database, RequestId id);

/// What csrq.retry() takes; what is given is combined by "and".
struct RetrySelection {
  std::optional<RequestId> id{};
  std::string domain{};
  std::string customer{};
  bool everything{};
  std::string failure_class{};
  std::string code{};
  std::optional<Duration> spread{};  ///< none: more than 100 rows are spread, 600 a minute
};
/// How many rows. Throws UsageError for a selection that selects nothing.
std::int64_t retry(Database& database, const RetrySelection& selection);
/// Times are RFC 3339 in UTC, empty for none.
struct RetryReport {
  std::int64_t rows{};
  bool first_is_due{};
  std::string first_at{};
  std::string last_at{};
  std::string last_issue_at{};  ///< as the limits stand
  std::int64_t limited{};       ///< those of the rows that a limit of the CA lets go later only
  std::string limited_until{};
};
RetryReport retry_report(Database& database, const RetrySelection& selection);
/// The sentence of csrq.cancel(). Throws UsageError for an unknown id or a missing privilege; so do renew and
/// revoke.
std::string cancel(Database& database, RequestId id);
bool renew(Database& database, RequestId id);
bool revoke(Database& database, RequestId id, int reason);

}  // namespace csrq::store
