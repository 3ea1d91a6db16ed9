#include "store/blockers.hpp"

#include <string_view>

#include "store/sql.hpp"

namespace csrq::store {
namespace {

constexpr auto blocking_sql = "SELECT DISTINCT unnest(pg_blocking_pids($1::int)) AS pid";

constexpr auto advisory_sql = R"sql(
    SELECT l.pid FROM pg_locks l
     WHERE l.locktype = 'advisory' AND l.granted
       AND l.classid = 0 AND l.objid = $1::int AND l.objsubid = 1
       AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
)sql";

// Of a query only its first words, and none of its values.
constexpr auto sessions_sql = R"sql(
    SELECT p.pid, a.usename, a.application_name,
           date_trunc('second', coalesce(a.xact_start, a.state_change)) AS since,
           left(regexp_replace(btrim(regexp_replace(a.query, '''[^'']*(''|$)', '''…''', 'g'),
                                     E' \n\r\t'),
                               '\s+', ' ', 'g'), 60) AS query
      FROM unnest($1::int[]) p (pid) LEFT JOIN pg_stat_activity a ON a.pid = p.pid
     ORDER BY since, p.pid
)sql";

// Of a prepared transaction, which has none.
constexpr std::string_view no_process = "0";
constexpr std::string_view hidden_query = "<insufficient privilege>";

std::string describe(const pqxx::row& row) {
  const std::string process = text(row["pid"]);
  if (process == no_process) return "a prepared transaction (pg_prepared_xacts)";
  std::string session = "process " + process + " of login \"" + text(row["usename"]) + "\"";
  if (const std::string application = text(row["application_name"]); !application.empty())
    session += ", application \"" + application + "\"";
  if (const std::string since = text(row["since"]); !since.empty()) session += ", since " + since;
  if (const std::string query = text(row["query"]); !query.empty() && query != hidden_query)
    session += ": " + query;
  return session + " (SELECT pg_terminate_backend(" + process + ") ends it)";
}

/// The sessions whose process ids a query with one parameter finds.
std::string describe(pqxx::transaction_base& transaction, const char* processes_sql, int parameter) {
  std::vector<std::int64_t> processes;
  for (const auto& row : execute(transaction, processes_sql, {parameter}))
    processes.push_back(row["pid"].as<std::int64_t>());
  std::string sessions;
  if (processes.empty()) return sessions;
  for (const auto& row : execute(transaction, sessions_sql, {processes}))
    sessions += (sessions.empty() ? "" : "; ") + describe(row);
  return sessions;
}

}  // namespace

std::string blockers_of(pqxx::transaction_base& transaction, int process) {
  return describe(transaction, blocking_sql, process);
}

std::string holder_of_advisory_lock(pqxx::transaction_base& transaction, int lock) {
  const std::string holder = describe(transaction, advisory_sql, lock);
  return holder.empty() ? "a session that has ended since" : holder;
}

}  // namespace csrq::store
