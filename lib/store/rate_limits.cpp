#include "store/rate_limits.hpp"

#include "store/failure_json.hpp"
#include "store/jobs.hpp"
#include "store/json.hpp"
#include "store/sql.hpp"

namespace csrq::store {
namespace {

constexpr auto rate_limits_sql = R"sql(
    SELECT ca, directory, name, key, customer, burst, period, left_now, next_at, held_until, waiting,
           last_starts_at, binds_renewals, reason, renewals, source
      FROM csrq.rate_limits
     WHERE ($1::text IS NULL OR ca = $1) AND ($2::text IS NULL OR customer = $2)
     ORDER BY directory, name, key
)sql";

constexpr auto take_account_token_sql = R"sql(
    SELECT (wait_seconds * 1000000)::bigint AS wait, why, wait_code FROM csrq.take_account_token($1, $2, $3)
)sql";

constexpr auto write_hold_sql = R"sql(
    SELECT (extract(epoch FROM csrq.write_hold($1, $2, $3, $4, $5, $6, $7, $8)) * 1000000)::bigint
)sql";

constexpr auto forget_limits_sql = R"sql(
    SELECT forgotten, rows, date_trunc('second', last_at) AS last_at
      FROM csrq.forget_limits(scope => $1, key => $2, everything => $1::text IS NULL, ca => $3)
)sql";

constexpr auto certificates_to_seed_sql = R"sql(
    SELECT array_to_json(names) AS names, issued_at FROM csrq.certificates_to_seed($1, $2, $3)
)sql";

RateLimitRow row_in(const pqxx::row& row) {
  return {.ca = text(row["ca"]),
          .directory = text(row["directory"]),
          .name = text(row["name"]),
          .key = text(row["key"]),
          .customer = text(row["customer"]),
          .burst = value<int>(row["burst"]),
          .period = text(row["period"]),
          .left = value<int>(row["left_now"]),
          .next_at = text(row["next_at"]),
          .held_until = text(row["held_until"]),
          .waiting = row["waiting"].as<std::int64_t>(),
          .last_starts_at = text(row["last_starts_at"]),
          .binds_renewals = value<bool>(row["binds_renewals"]),
          .reason = text(row["reason"]),
          .renewals = text(row["renewals"]),
          .source = text(row["source"])};
}

}  // namespace

void set_rate_limits(Database& database, const std::string& directory,
                     const std::map<std::string, RateLimit>& limits) {
  std::vector<std::string> names;
  std::vector<std::int64_t> bursts;
  std::vector<Duration> periods;
  std::vector<std::string> renewals;
  std::vector<std::string> sources;
  for (const auto& [name, limit] : limits) {
    names.push_back(name);
    bursts.push_back(limit.burst);
    periods.push_back(limit.period);
    renewals.emplace_back(limit.renewals_exempt ? "exempt" : "charged");
    sources.emplace_back(limit.built_in ? "built-in" : "configuration");
  }
  database.run([&](pqxx::transaction_base& transaction) {
    execute(transaction, "SELECT csrq.set_rate_limits($1, $2, $3, $4, $5, $6)",
            {directory, names, bursts, periods, renewals, sources});
  });
}

std::vector<CountedCertificate> certificates_to_seed(Database& database, const std::string& directory,
                                                     const RateLimit& limit) {
  std::vector<CountedCertificate> found;
  database.run([&](pqxx::transaction_base& transaction) {
    found.clear();
    for (const auto& row :
         execute(transaction, certificates_to_seed_sql, {directory, limit.period, limit.renewals_exempt}))
      found.push_back({.names = texts(row["names"]), .issued_at = text(row["issued_at"])});
  });
  return found;
}

void seed_domains(Database& database, const std::string& directory, const RateLimit& limit,
                  const std::vector<std::string>& domains, const std::vector<std::string>& issued_at) {
  database.run([&](pqxx::transaction_base& transaction) {
    execute(transaction, "SELECT csrq.seed_domains($1, $2, $3, $4, $5)",
            {directory, Duration(limit.period / limit.burst), limit.period, domains, issued_at});
  });
}

std::optional<NotYet> take_account_token(Database& database, const std::string& directory, AccountId account,
                                         const std::string& url) {
  std::optional<NotYet> not_yet;
  // All workers wait for the one bucket of a CA: nothing else is locked meanwhile.
  database.run_alone([&](pqxx::transaction_base& transaction) {
    not_yet.reset();
    const auto row =
        execute(transaction, take_account_token_sql, {directory, account, null_if_empty(url)})[0];
    if (!row["wait"].is_null())
      not_yet = NotYet{.wait = Duration(row["wait"].as<std::int64_t>()),
                       .detail = text(row["why"]),
                       .code = text(row["wait_code"])};
  });
  return not_yet;
}

Duration write_hold(Database& database, const RefusedByCa& refused, std::optional<Duration> asked,
                    const Failure& why, Duration least) {
  const UsedUpLimit& limit = refused.limit;
  const std::vector<std::string> subject{limit.subject};
  const std::vector<std::string>& row_keys =
      limit.scope == LimitScope::registered_domain ? refused.domains : refused.names;
  return Duration(
      ask<std::int64_t>(database, write_hold_sql,
                        {refused.directory, to_string(limit.scope), refused.account, refused.request,
                         limit.subject.empty() ? row_keys : subject, asked, error_json(why), least}));
}

std::vector<RateLimitRow> rate_limits(Database& database, const std::string& ca,
                                      const std::string& customer) {
  std::vector<RateLimitRow> found;
  run_or_refuse(database, [&](pqxx::transaction_base& transaction) {
    found.clear();
    for (const auto& row :
         execute(transaction, rate_limits_sql, {null_if_empty(ca), null_if_empty(customer)}))
      found.push_back(row_in(row));
  });
  return found;
}

ForgottenLimits forget_limits(Database& database, const LimitSelection& selection) {
  ForgottenLimits forgotten;
  run_or_refuse(database, [&](pqxx::transaction_base& transaction) {
    const auto row = execute(
        transaction, forget_limits_sql,
        {null_if_empty(selection.scope), null_if_empty(selection.key), null_if_empty(selection.ca)})[0];
    forgotten = {.forgotten = row["forgotten"].as<std::int64_t>(),
                 .rows = row["rows"].as<std::int64_t>(),
                 .last_at = text(row["last_at"])};
  });
  return forgotten;
}

}  // namespace csrq::store
