#include "store/requests.hpp"

#include <stdexcept>

#include "base/error.hpp"
#include "store/json.hpp"
#include "store/sql.hpp"

namespace csrq::store {
namespace {

constexpr auto insert_sql = R"sql(
    INSERT INTO csrq.request (customer, csr, reference, ca, profile, challenge, preferred_chain, priority,
                              auto_renew, split_of, replaces_id, reuse_chain)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
    ON CONFLICT (customer, reference) DO NOTHING RETURNING id
)sql";

constexpr auto find_sql = "SELECT id FROM csrq.request WHERE customer = $1 AND reference = $2";

constexpr auto status_sql = R"sql(
    SELECT id, customer, array_to_json(names) AS names, state, attempts, failures, next_attempt_at,
           earliest_issue_at, error, not_after, renew_at, days_left, worker, updated_at, replaces_id,
           replaced_by, issued_by
      FROM csrq.status
     WHERE ($1::bigint IS NULL OR id = $1)
       AND ($2::text IS NULL OR customer = $2)
       AND ($3::bigint[] IS NULL OR id = ANY ($3))
     ORDER BY id DESC LIMIT $4
)sql";

constexpr auto requests_of_sql = "SELECT coalesce(array_agg(id), '{}') FROM csrq.requests_of($1) id";

constexpr auto depth_sql = R"sql(
    SELECT count(*) FILTER (WHERE status = 'ready' AND run_at <= now()) AS due,
           count(*) FILTER (WHERE status = 'leased') AS leased,
           count(*) FILTER (WHERE status = 'ready' AND run_at > now()) AS waiting
      FROM csrq.job
)sql";

constexpr auto statement_timeout_sql = "SELECT set_config('statement_timeout', $1, true)";

constexpr auto retry_sql = R"sql(
    SELECT csrq.retry(id => $1, domain => $2, customer => $3, everything => $4, spread => $5, class => $6,
                      code => $7) AS rows
)sql";

constexpr auto retry_report_sql = R"sql(
    SELECT rows, first_at <= now() AS first_is_due, first_at, last_at, last_issue_at, limited, limited_until
      FROM csrq.retry_report(id => $1, domain => $2, customer => $3, everything => $4, spread => $5,
                             class => $6, code => $7)
)sql";

Submitted submit_one(pqxx::transaction_base& transaction, const Submission& submission,
                     std::optional<RequestId> split_of) {
  const auto inserted = execute(
      transaction, insert_sql,
      {submission.customer, submission.csr, null_if_empty(submission.reference), null_if_empty(submission.ca),
       null_if_empty(submission.profile), null_if_empty(submission.challenge),
       null_if_empty(submission.preferred_chain), submission.priority, submission.auto_renew, split_of,
       submission.replaces, submission.reuse_chain});
  if (!inserted.empty()) return {RequestId{inserted[0]["id"].as<std::int64_t>()}, true};
  const auto found = execute(transaction, find_sql, {submission.customer, submission.reference});
  if (found.empty())
    throw UsageError("customer \"" + submission.customer + "\" has a request with reference \"" +
                     submission.reference + "\" already, which this login may not read");
  return {RequestId{found[0]["id"].as<std::int64_t>()}, false};
}

std::optional<RequestId> id_or_none(const pqxx::field& field) {
  return field.is_null() ? std::nullopt : std::optional(RequestId{field.as<std::int64_t>()});
}

StatusRow row_in(const pqxx::row& row) {
  return {.id = RequestId{row["id"].as<std::int64_t>()},
          .customer = text(row["customer"]),
          .names = texts(row["names"]),
          .state = text(row["state"]),
          .attempts = row["attempts"].as<int>(),
          .failures = row["failures"].as<int>(),
          .next_attempt_at = text(row["next_attempt_at"]),
          .earliest_issue_at = text(row["earliest_issue_at"]),
          .error = text(row["error"]),
          .not_after = text(row["not_after"]),
          .renew_at = text(row["renew_at"]),
          .days_left = value<int>(row["days_left"]),
          .worker = text(row["worker"]),
          .updated_at = text(row["updated_at"]),
          .replaces = id_or_none(row["replaces_id"]),
          .replaced_by = id_or_none(row["replaced_by"]),
          .issued_by = text(row["issued_by"])};
}

pqxx::result select_retry(pqxx::transaction_base& transaction, const char* statement,
                          const RetrySelection& selection) {
  return execute(
      transaction, statement,
      {selection.id, null_if_empty(selection.domain), null_if_empty(selection.customer), selection.everything,
       selection.spread, null_if_empty(selection.failure_class), null_if_empty(selection.code)});
}

}  // namespace

std::vector<Submitted> submit(Database& database, const std::vector<Submission>& submissions) {
  std::vector<Submitted> submitted;
  try {
    run_or_refuse(database, [&](pqxx::transaction_base& transaction) {
      submitted.clear();
      for (const Submission& submission : submissions) {
        const std::optional<std::size_t> whole = submission.stands_in_for;
        submitted.push_back(submit_one(transaction, submission,
                                       whole ? std::optional(submitted.at(*whole).id) : std::nullopt));
      }
    });
  } catch (const UsageError& error) {
    if (submissions.size() == 1) throw;
    throw UsageError("number " + std::to_string(submitted.size() + 1) + " of " +
                     std::to_string(submissions.size()) +
                     " is refused, so none is submitted: " + error.what());
  }
  return submitted;
}

std::vector<StatusRow> status(Database& database, const StatusFilter& filter) {
  std::vector<StatusRow> found;
  run_or_refuse(database, [&](pqxx::transaction_base& transaction) {
    found.clear();
    Parameter below_domain = std::nullopt;
    if (!filter.domain.empty()) below_domain = text(one_value(transaction, requests_of_sql, {filter.domain}));
    for (const auto& row : execute(transaction, status_sql,
                                   {filter.id, null_if_empty(filter.customer), below_domain, filter.limit}))
      found.push_back(row_in(row));
  });
  return found;
}

std::map<std::string, std::int64_t> count_by_state(Database& database) {
  std::map<std::string, std::int64_t> counts;
  run_or_refuse(database, [&](pqxx::transaction_base& transaction) {
    counts.clear();
    for (const auto& row :
         execute(transaction, "SELECT state, count(*) AS rows FROM csrq.status GROUP BY state"))
      counts[text(row["state"])] = row["rows"].as<std::int64_t>();
  });
  return counts;
}

QueueDepth queue_depth(Database& database, std::optional<Duration> longest) {
  QueueDepth depth;
  run_or_refuse(database, [&](pqxx::transaction_base& transaction) {
    if (longest)
      execute(transaction, statement_timeout_sql,
              {std::chrono::duration_cast<std::chrono::milliseconds>(*longest).count()});
    const auto row = execute(transaction, depth_sql)[0];
    depth = {.due = row["due"].as<std::int64_t>(),
             .leased = row["leased"].as<std::int64_t>(),
             .waiting = row["waiting"].as<std::int64_t>()};
  });
  return depth;
}

std::optional<std::string> chain(Database& database, RequestId id) {
  std::optional<std::string> found;
  run_or_refuse(database, [&](pqxx::transaction_base& transaction) {
    found.reset();
    const auto rows =
        execute(transaction, "SELECT chain FROM csrq.request WHERE id = $1 AND chain IS NOT NULL", {id});
    if (!rows.empty()) found = text(rows[0]["chain"]);
  });
  return found;
}

std::int64_t retry(Database& database, const RetrySelection& selection) {
  std::int64_t rows = 0;
  run_or_refuse(database, [&](pqxx::transaction_base& transaction) {
    rows = select_retry(transaction, retry_sql, selection)[0]["rows"].as<std::int64_t>();
  });
  return rows;
}

RetryReport retry_report(Database& database, const RetrySelection& selection) {
  RetryReport report;
  run_or_refuse(database, [&](pqxx::transaction_base& transaction) {
    const auto row = select_retry(transaction, retry_report_sql, selection)[0];
    report = {.rows = row["rows"].as<std::int64_t>(),
              .first_is_due = value<bool>(row["first_is_due"]).value_or(false),
              .first_at = text(row["first_at"]),
              .last_at = text(row["last_at"]),
              .last_issue_at = text(row["last_issue_at"]),
              .limited = row["limited"].as<std::int64_t>(),
              .limited_until = text(row["limited_until"])};
  });
  return report;
}

std::string cancel(Database& database, RequestId id) {
  return ask_or_refuse<std::string>(database, "SELECT csrq.cancel($1)", {id});
}

bool renew(Database& database, RequestId id) {
  return ask_or_refuse<bool>(database, "SELECT csrq.renew($1)", {id});
}

bool revoke(Database& database, RequestId id, int reason) {
  return ask_or_refuse<bool>(database, "SELECT csrq.revoke($1, $2)", {id, reason});
}

}  // namespace csrq::store
