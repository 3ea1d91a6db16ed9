#include "store/janitor.hpp"

#include <algorithm>

#include "base/log.hpp"
#include "store/failure_json.hpp"
#include "store/jobs.hpp"
#include "store/json.hpp"
#include "store/sql.hpp"

namespace csrq::store {
namespace {

constexpr auto close_expired_sql = "SELECT csrq.close_expired()";

constexpr auto claim_abandoned_sql = R"sql(
    SELECT id, url, identifier, customer, ca, directory, policy, owner FROM csrq.claim_abandoned($1, $2, $3)
)sql";

constexpr auto claim_valid_sql = R"sql(
    SELECT id, url, identifier, customer, ca, directory, policy, owner FROM csrq.claim_valid($1, $2, $3)
)sql";

constexpr auto pending_sql = R"sql(
    SELECT id, ca, customer, identifier, created_at, expires_at, array_to_json(needed_by) AS needed_by,
           disposition, disposition_at, url
      FROM csrq.pending_authorizations
     WHERE $1::text IS NULL OR customer = $1
     ORDER BY created_at, id
)sql";

constexpr auto abandoned_sql = R"sql(
    SELECT a.id, a.url, a.identifier, a.customer, c.ca, c.directory, c.policy, c.owner
      FROM csrq.abandoned_authorizations($1) w
      JOIN csrq.acme_authorization a ON a.id = w.authorization_id
      JOIN csrq.acme_account c ON c.id = a.account_id
     WHERE w.disposition NOT LIKE 'left to expire%'
     ORDER BY w.settle_at, a.id
)sql";

constexpr auto valid_sql = R"sql(
    SELECT a.id, a.url, a.identifier, a.customer, c.ca, c.directory, c.policy, c.owner
      FROM csrq.valid_authorizations($1) v
      JOIN csrq.acme_authorization a ON a.id = v
      JOIN csrq.acme_account c ON c.id = a.account_id
     ORDER BY a.id
)sql";

AuthorizationToSettle authorization_in(const pqxx::row& row) {
  return {.id = AuthorizationId{row["id"].as<std::int64_t>()},
          .url = text(row["url"]),
          .identifier = text(row["identifier"]),
          .customer = text(row["customer"]),
          .owner = {.ca = text(row["ca"]),
                    .directory = text(row["directory"]),
                    .policy = policy_named(text(row["policy"])),
                    .owner = text(row["owner"])}};
}

PendingAuthorization pending_in(const pqxx::row& row) {
  return {.id = AuthorizationId{row["id"].as<std::int64_t>()},
          .ca = text(row["ca"]),
          .customer = text(row["customer"]),
          .identifier = text(row["identifier"]),
          .created_at = text(row["created_at"]),
          .expires_at = text(row["expires_at"]),
          .needed_by = numbers(row["needed_by"]),
          .disposition = text(row["disposition"]),
          .disposition_at = text(row["disposition_at"]),
          .url = text(row["url"])};
}

}  // namespace

void set_ca_policies(Database& database, const std::vector<CaPolicy>& policies) {
  database.run([&](pqxx::transaction_base& transaction) {
    for (const CaPolicy& policy : policies)
      execute(
          transaction, "SELECT csrq.set_ca_policy($1, $2, $3, $4)",
          {policy.directory, policy.ca, policy.abandoned == AbandonedPolicy::expire ? "expire" : "deactivate",
           policy.deactivate_per_hour});
  });
}

std::int64_t tidy(Database& database) {
  std::int64_t closed = 0;
  for (const char* chore : {close_expired_sql, "SELECT csrq.make_event_partitions()",
                            "SELECT csrq.forget_learnt_limits()", "SELECT csrq.drop_full_buckets()",
                            "SELECT csrq.give_back_cancelled()", "SELECT csrq.call_accounts()"}) {
    try {
      run_or_refuse(database, [&](pqxx::transaction_base& transaction) {
        const auto answer = one_value(transaction, chore);
        if (chore == close_expired_sql) closed = answer.as<std::int64_t>();
      });
    } catch (const TryAgain& reason) {
      log::warning("the database refuses a chore for now; tried again",
                   {{"chore", chore}, {"error", reason.what()}});
    }
  }
  return closed;
}

std::vector<AuthorizationToSettle> claim_to_settle(Database& database, const SweepScope& scope, int limit) {
  std::vector<AuthorizationToSettle> claimed;
  run_or_refuse(database, [&](pqxx::transaction_base& transaction) {
    claimed.clear();
    for (const auto& row : execute(transaction, scope.valid ? claim_valid_sql : claim_abandoned_sql,
                                   {scope.directories, null_if_empty(scope.customer), limit}))
      claimed.push_back(authorization_in(row));
  });
  return claimed;
}

std::vector<AuthorizationToSettle> to_settle(Database& database, const SweepScope& scope) {
  std::vector<AuthorizationToSettle> found;
  run_or_refuse(database, [&](pqxx::transaction_base& transaction) {
    found.clear();
    for (const auto& row :
         execute(transaction, scope.valid ? valid_sql : abandoned_sql, {null_if_empty(scope.customer)}))
      found.push_back(authorization_in(row));
  });
  return found;
}

bool begin_settling(Database& database, AuthorizationId authorization) {
  return fenced_write(database, "SELECT csrq.begin_settling($1)", {authorization});
}

void settled(Database& database, AuthorizationId authorization, const Settlement& settlement) {
  database.run([&](pqxx::transaction_base& transaction) {
    execute(transaction, "SELECT csrq.settled($1, $2, $3, $4)",
            {authorization,
             settlement.status ? Parameter(to_string(*settlement.status)) : Parameter(std::nullopt),
             settlement.failure ? Parameter(error_json(*settlement.failure)) : Parameter(std::nullopt),
             settlement.again});
  });
}

std::vector<PendingAuthorization> pending_authorizations(Database& database, const std::string& customer) {
  std::vector<PendingAuthorization> pending;
  run_or_refuse(database, [&](pqxx::transaction_base& transaction) {
    pending.clear();
    for (const auto& row : execute(transaction, pending_sql, {null_if_empty(customer)}))
      pending.push_back(pending_in(row));
  });
  return pending;
}

std::vector<HistoryRow> history(Database& database, RequestId request) {
  std::vector<HistoryRow> found;
  run_or_refuse(database, [&](pqxx::transaction_base& transaction) {
    found.clear();
    for (const auto& row :
         execute(transaction, "SELECT at, what, worker, detail FROM csrq.history($1)", {request}))
      found.push_back({.at = text(row["at"]),
                       .what = text(row["what"]),
                       .worker = text(row["worker"]),
                       .detail = text(row["detail"])});
  });
  return found;
}

namespace {

Pruned prune_once(Database& database, Duration keep, int batch) {
  Pruned removed;
  run_or_refuse(database, [&](pqxx::transaction_base& transaction) {
    removed.clear();
    for (const auto& row :
         execute(transaction, "SELECT what, removed FROM csrq.prune($1, $2)", {keep, batch}))
      removed.emplace_back(text(row["what"]), row["removed"].as<std::int64_t>());
  });
  return removed;
}

}  // namespace

Pruned prune(Database& database, Duration keep, int batch) {
  Pruned all = prune_once(database, keep, batch);
  for (Pruned last = all; std::ranges::any_of(last, [&](const auto& one) { return one.second >= batch; });) {
    last = prune_once(database, keep, batch);
    for (std::size_t i = 0; i < all.size(); ++i) all[i].second += last[i].second;
  }
  return all;
}

}  // namespace csrq::store
