#include "store/incidents.hpp"

#include <limits>

#include "store/sql.hpp"

namespace csrq::store {
namespace {

constexpr auto size_sql = R"sql(
    SELECT count(*) FROM csrq.check_incident($1, $2, $3), csrq.in_incident($1, $2, $3, 0, $4)
)sql";

constexpr auto incidents_sql = R"sql(
    SELECT id, opened_at, opened_by, issuer, issued_before, customer, deadline, is_complete, renewals, done,
           failing, dropped, left_over, date_trunc('second', estimated_end) AS estimated_end, directory
      FROM csrq.incidents
     WHERE $1::bigint IS NULL OR id = $1
     ORDER BY id DESC
)sql";

constexpr auto unnamed_sql = R"sql(
    SELECT h.id, encode(c.der, 'base64') AS der
      FROM csrq.issuer_chain h
     CROSS JOIN LATERAL (SELECT k.der
                           FROM csrq.certificate k
                          WHERE k.issuer_chain_id = h.id
                          LIMIT 1) c
     WHERE h.issuer IS NULL
     ORDER BY h.id
)sql";

IncidentRow row_in(const pqxx::row& row) {
  return {.id = row["id"].as<std::int64_t>(),
          .opened_at = text(row["opened_at"]),
          .opened_by = text(row["opened_by"]),
          .issuer = text(row["issuer"]),
          .issued_before = text(row["issued_before"]),
          .customer = text(row["customer"]),
          .deadline = text(row["deadline"]),
          .is_complete = row["is_complete"].as<bool>(),
          .renewals = row["renewals"].as<std::int64_t>(),
          .done = row["done"].as<std::int64_t>(),
          .failing = row["failing"].as<std::int64_t>(),
          .dropped = row["dropped"].as<std::int64_t>(),
          .left = row["left_over"].as<std::int64_t>(),
          .estimated_end = text(row["estimated_end"]),
          .directory = text(row["directory"])};
}

}  // namespace

std::int64_t incident_size(Database& database, const IncidentScope& scope) {
  return ask_or_refuse<std::int64_t>(
      database, size_sql,
      {null_if_empty(scope.issuer), scope.issued_before, null_if_empty(scope.customer),
       std::numeric_limits<std::int64_t>::max()});
}

IncidentId open_incident(Database& database, const IncidentScope& scope, std::optional<Time> deadline) {
  return IncidentId{ask_or_refuse<std::int64_t>(
      database, "SELECT csrq.open_incident($1, $2, $3, $4)",
      {null_if_empty(scope.issuer), scope.issued_before, null_if_empty(scope.customer), deadline})};
}

std::int64_t fill_incident(Database& database, IncidentId incident, int batch) {
  return ask_or_refuse<std::int64_t>(database, "SELECT csrq.fill_incident($1, $2)", {incident, batch});
}

std::int64_t fill_incidents(Database& database, int batch) {
  return ask_or_refuse<std::int64_t>(database, "SELECT csrq.fill_incidents($1)", {batch});
}

std::vector<IncidentRow> incidents(Database& database, std::optional<IncidentId> incident) {
  std::vector<IncidentRow> found;
  run_or_refuse(database, [&](pqxx::transaction_base& transaction) {
    found.clear();
    for (const auto& row : execute(transaction, incidents_sql, {incident})) found.push_back(row_in(row));
  });
  return found;
}

std::vector<UnnamedIssuer> unnamed_issuers(Database& database) {
  std::vector<UnnamedIssuer> unnamed;
  run_or_refuse(database, [&](pqxx::transaction_base& transaction) {
    unnamed.clear();
    for (const auto& row : execute(transaction, unnamed_sql))
      unnamed.push_back({.chain_id = row["id"].as<std::int64_t>(), .der = octets(row["der"])});
  });
  return unnamed;
}

void name_issuer(Database& database, std::int64_t chain_id, const std::string& common_name) {
  run_or_refuse(database, [&](pqxx::transaction_base& transaction) {
    execute(transaction, "SELECT csrq.name_issuer($1, $2)", {chain_id, common_name});
  });
}

}  // namespace csrq::store
