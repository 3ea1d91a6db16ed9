#include "store/health.hpp"

#include "base/error.hpp"
#include "store/sql.hpp"

namespace csrq::store {
namespace {

// Rows whose renewal is due: their job, or, with no worker to make one, their line in csrq.renewal.
constexpr auto ending_sql = R"sql(
    WITH late AS (
        SELECT j.request_id FROM csrq.job j
         WHERE j.kind = 'renew'
           AND j.parked_because IS DISTINCT FROM 'suspended'
           AND ($3::text IS NULL OR j.customer = $3)
        UNION ALL
        SELECT n.request_id FROM csrq.renewal n WHERE n.renew_at <= now()),
    ending AS (
        SELECT r.id, r.customer, r.names[1] AS name, r.not_after,
               CASE WHEN r.not_after <= now() + least($2::interval, (r.not_after - r.not_before) / 30)
                    THEN 2
                    WHEN r.not_after <= now() + least($1::interval, (r.not_after - r.not_before) / 6)
                    THEN 1 END AS level
          FROM late
          JOIN csrq.request r ON r.id = late.request_id
          JOIN csrq.customer c ON c.name = r.customer
         WHERE r.status = 'issued'
           AND r.auto_renew
           AND c.status <> 'suspended'
           AND ($3::text IS NULL OR r.customer = $3))
    SELECT DISTINCT ON (level)
           level, count(*) OVER (PARTITION BY level) AS certificates, id, customer, name, not_after
      FROM ending
     WHERE level IS NOT NULL
     ORDER BY level, not_after, id
)sql";

constexpr auto queue_sql = R"sql(
    SELECT count(*) FILTER (WHERE j.needs_person) AS need_person,
           count(*) FILTER (WHERE j.is_due) AS due,
           coalesce(extract(epoch FROM now() - min(j.run_at) FILTER (WHERE j.is_due)), 0)::bigint
               AS longest_due
      FROM (SELECT run_at,
                   status = 'parked' AND parked_because <> 'suspended' AS needs_person,
                   status = 'ready'
                   AND run_at <= now()
                   AND (csrq.lane_names())[lane + 1] <> 'bulk' AS is_due
              FROM csrq.job
             WHERE $1::text IS NULL OR customer = $1) j
)sql";

constexpr auto workers_sql = R"sql(
    SELECT count(*)
      FROM csrq.worker
     WHERE stopped_at IS NULL
       AND heartbeat_at > now() - csrq.worker_silence()
)sql";

void refuse_unknown(pqxx::transaction_base& transaction, const std::string& customer) {
  if (!customer.empty() &&
      execute(transaction, "SELECT FROM csrq.customer WHERE name = $1", {customer}).empty())
    throw UsageError("there is no customer \"" + customer + "\"");
}

EndingSoon ending_in(const pqxx::row& row) {
  return {.certificates = row["certificates"].as<std::int64_t>(),
          .request = row["id"].as<std::int64_t>(),
          .customer = text(row["customer"]),
          .name = text(row["name"]),
          .not_after = text(row["not_after"])};
}

}  // namespace

Health health(Database& database, Duration warning, Duration critical, const std::string& customer) {
  Health health;
  run_or_refuse(database, [&](pqxx::transaction_base& transaction) {
    health = {};
    refuse_unknown(transaction, customer);
    for (const auto& row : execute(transaction, ending_sql, {warning, critical, null_if_empty(customer)}))
      (row["level"].as<int>() == 2 ? health.critical : health.warning) = ending_in(row);
    const auto queue = execute(transaction, queue_sql, {null_if_empty(customer)})[0];
    health.need_person = queue["need_person"].as<std::int64_t>();
    health.due = queue["due"].as<std::int64_t>();
    health.longest_due = std::chrono::seconds(queue["longest_due"].as<std::int64_t>());
    health.workers = one_value(transaction, workers_sql).as<std::int64_t>();
  });
  return health;
}

}  // namespace csrq::store
