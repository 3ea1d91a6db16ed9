#include "store/diagnosis.hpp"

#include "store/sql.hpp"

namespace csrq::store {
namespace {

constexpr auto facts_sql = R"sql(
    SELECT split_part(current_setting('server_version'), ' ', 1) AS version,
           current_setting('server_version_num') AS version_number, current_database() AS database,
           session_user AS login, pg_is_in_recovery() AS is_standby,
           (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS clock
)sql";

constexpr auto missing_functions_sql = R"sql(
    SELECT p.oid::regprocedure::text AS function
      FROM pg_catalog.pg_proc p
      JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
     WHERE n.nspname = 'csrq'
       AND NOT has_function_privilege(p.oid, 'EXECUTE')
       AND p.proname = ANY ($1::text[])
     ORDER BY function
)sql";

constexpr auto missing_tables_sql = R"sql(
    SELECT c.oid::regclass::text AS relation
      FROM pg_catalog.pg_class c
      JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = 'csrq'
       AND NOT has_table_privilege(c.oid, 'SELECT')
       AND c.relname = ANY ($1::text[])
     ORDER BY relation
)sql";

/// What a login calls and reads.
struct Needs {
  std::string role{};  ///< the group role that has it all
  std::vector<std::string> functions{};
  std::vector<std::string> tables{};
};

const Needs worker_needs{.role = "csrq_worker",
                         .functions = {"worker_start",
                                       "worker_stop",
                                       "use_sealing_key",
                                       "claim",
                                       "heartbeat",
                                       "rescue",
                                       "renew_due",
                                       "complete",
                                       "complete_revocation",
                                       "record_failure",
                                       "put_off",
                                       "drop_cancelled",
                                       "account_for",
                                       "account_registered",
                                       "is_account_key",
                                       "open_order",
                                       "record_order",
                                       "record_authorizations",
                                       "close_order",
                                       "write_hold",
                                       "before_order",
                                       "put_grants_in_force",
                                       "grants_report",
                                       "certificate_to_revoke",
                                       "key_authorization",
                                       "make_event_partitions"},
                         .tables = {"schema_version", "setting", "request", "job", "status"}};

const Needs responder_needs{
    .role = "csrq_responder", .functions = {"key_authorization"}, .tables = {"schema_version"}};

std::vector<std::string> missing(Database& database, const Needs& needs) {
  std::vector<std::string> sentences;
  run_or_refuse(database, [&](pqxx::transaction_base& transaction) {
    sentences.clear();
    const std::string who = "login \"" + text(one_value(transaction, "SELECT session_user")) + "\"";
    const std::string remedy = ": GRANT " + needs.role + " TO it";
    if (!one_value(transaction, "SELECT has_schema_privilege('csrq', 'USAGE')").as<bool>()) {
      sentences.push_back(who + " may not use the schema csrq" + remedy);
      return;
    }
    for (const auto& row : execute(transaction, missing_functions_sql, {needs.functions}))
      sentences.push_back(who + " may not call " + text(row["function"]) + remedy);
    for (const auto& row : execute(transaction, missing_tables_sql, {needs.tables}))
      sentences.push_back(who + " may not read " + text(row["relation"]) + remedy);
  });
  return sentences;
}

}  // namespace

ServerFacts server_facts(Database& database) {
  ServerFacts facts;
  run_or_refuse(database, [&](pqxx::transaction_base& transaction) {
    const auto row = execute(transaction, facts_sql)[0];
    facts = {.version = text(row["version"]),
             .version_number = row["version_number"].as<int>(),
             .database = text(row["database"]),
             .login = text(row["login"]),
             .is_standby = row["is_standby"].as<bool>(),
             .clock = Time{Duration{row["clock"].as<std::int64_t>()}}};
  });
  return facts;
}

std::vector<std::string> missing_privileges(Database& database) {
  return missing(database, worker_needs);
}

std::vector<std::string> missing_responder_privileges(Database& database) {
  return missing(database, responder_needs);
}

}  // namespace csrq::store
