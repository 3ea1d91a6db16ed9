#include "store/migrations.hpp"

#include <chrono>
#include <string_view>
#include <thread>

#include "base/error.hpp"
#include "store/grants.hpp"
#include "store/sql.hpp"

namespace csrq::store {
namespace {

// Not to_regclass: without USAGE on the schema it raises an error.
constexpr auto has_schema_sql = R"sql(
    SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                    WHERE n.nspname = 'csrq' AND c.relname = 'schema_version')
)sql";

constexpr auto set_setting_sql = R"sql(
    INSERT INTO csrq.setting AS s (name, value) VALUES ($1, $2)
    ON CONFLICT (name) DO UPDATE SET value = EXCLUDED.value, updated_at = now() WHERE s.value <> EXCLUDED.value
    RETURNING name
)sql";

// Any number does, as long as every csrq takes this one ("csrq" in ASCII).
constexpr auto lock_sql = "SELECT pg_try_advisory_xact_lock(1668510321)";
constexpr auto lock_holder_sql = R"sql(
    SELECT l.pid, coalesce(a.usename, '?'), coalesce(a.application_name, '')
      FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
     WHERE l.locktype = 'advisory' AND l.granted AND l.classid = 0 AND l.objid = 1668510321 AND l.objsubid = 1
       AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
)sql";

struct Migration {
  int version{};
  std::string name{};
  const char* sql{};
};

/// "migrations/0001_roles.sql": "0001_roles", or nothing if the file is not in `folder`.
std::string name_in(std::string_view folder, std::string_view file) {
  if (!file.starts_with(folder)) return {};
  file.remove_prefix(folder.size());
  return std::string(file.substr(0, file.rfind(".sql")));
}

std::vector<Migration> migrations() {
  std::vector<Migration> all;
  for (const EmbeddedFile& file : embedded_files()) {
    const std::string name = name_in("migrations/", file.name);
    if (!name.empty()) all.push_back({std::stoi(name), name, file.text});
  }
  return all;
}

std::vector<Migration> functions() {
  std::vector<Migration> all;
  for (const EmbeddedFile& file : embedded_files()) {
    const std::string name = name_in("functions/", file.name);
    if (!name.empty()) all.push_back({0, name, file.text});
  }
  return all;
}

std::string functions_sha256(pqxx::transaction_base& transaction) {
  std::string all;
  for (const Migration& function : functions()) all += function.sql;
  return text(execute(transaction, "SELECT encode(sha256(convert_to($1, 'UTF8')), 'hex')", {all})[0][0]);
}

bool functions_are_current(pqxx::transaction_base& transaction) {
  // Apps and responders may not read the settings; what they call is checked by whoever may.
  if (!execute(transaction, "SELECT has_table_privilege('csrq.setting', 'SELECT')")[0][0].as<bool>())
    return true;
  const auto rows = execute(transaction, "SELECT value FROM csrq.setting WHERE name = 'functions_sha256'");
  return !rows.empty() && text(rows[0][0]) == functions_sha256(transaction);
}

std::string login(pqxx::transaction_base& transaction) {
  return "login \"" + text(execute(transaction, "SELECT session_user")[0][0]) + "\"";
}

bool has_schema(pqxx::transaction_base& transaction) {
  return execute(transaction, has_schema_sql)[0][0].as<bool>();
}

int installed_version(pqxx::transaction_base& transaction) {
  if (!has_schema(transaction)) return 0;
  if (!execute(transaction, "SELECT has_schema_privilege('csrq', 'USAGE')")[0][0].as<bool>())
    throw UsageError(login(transaction) +
                     " may not use the schema csrq: make it a member of one of the csrq roles, " +
                     "for example with GRANT csrq_worker TO it");
  return execute(transaction, "SELECT coalesce(max(version), 0) FROM csrq.schema_version")[0][0].as<int>();
}

SchemaStatus status_in(pqxx::transaction_base& transaction) {
  SchemaStatus status{.installed = installed_version(transaction)};
  for (const Migration& migration : migrations()) {
    status.known = migration.version;
    if (migration.version > status.installed) status.pending.push_back(migration.name);
  }
  status.functions_current = status.installed > 0 && functions_are_current(transaction);
  return status;
}

void refuse_newer(const SchemaStatus& status) {
  if (status.installed > status.known)
    throw UsageError("the schema csrq is at version " + std::to_string(status.installed) +
                     " and newer than this csrq, which knows " + std::to_string(status.known) +
                     ": install the csrq that migrated it");
}

/// Any login that may connect can take the lock, so the wait has an end.
void take_lock(pqxx::transaction_base& transaction, Duration patience) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point give_up = Clock::now() + patience;
  while (!execute(transaction, lock_sql)[0][0].as<bool>()) {
    if (Clock::now() < give_up) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      continue;
    }
    std::string holder = "a session that has ended since";
    for (const auto& row : execute(transaction, lock_holder_sql))
      holder = "process " + text(row[0]) + " of login \"" + text(row[1]) + "\", application \"" +
               text(row[2]) + "\" (SELECT pg_terminate_backend(" + text(row[0]) + ") ends it)";
    throw TryAgain("the lock of csrq migrate has been held for " + to_text(patience) + " by " + holder);
  }
}

/// What migrate needs a role for, checked one by one before anything is done, so that the message can name
/// it.
void check_may_migrate(pqxx::transaction_base& transaction, bool fresh) {
  const auto may = [&](const char* condition) { return execute(transaction, condition)[0][0].as<bool>(); };
  const std::string who = login(transaction);
  if (!fresh) {
    if (!may("SELECT pg_has_role(session_user, 'csrq_owner', 'MEMBER')"))
      throw UsageError(who +
                       " may not migrate: it is not a member of csrq_owner. As a superuser: GRANT csrq_owner "
                       "TO it, or migrate as one.");
    return;
  }
  if (!may("SELECT has_database_privilege(current_database(), 'CREATE')"))
    throw UsageError(
        who + " may not create a schema in this database. As its owner: GRANT CREATE ON DATABASE to it.");
  if (may("SELECT rolsuper OR rolcreaterole FROM pg_catalog.pg_roles WHERE rolname = session_user")) return;
  if (!may("SELECT count(*) = 6 FROM pg_catalog.pg_roles WHERE rolname IN "
           "('csrq_owner', 'csrq_app', 'csrq_worker', 'csrq_responder', 'csrq_admin', 'csrq_dba')"))
    throw UsageError(who +
                     " may not create the roles csrq_owner, csrq_app and so on. As a superuser: ALTER ROLE "
                     "it CREATEROLE, or migrate as one.");
  if (!may("SELECT pg_has_role(session_user, 'csrq_owner', 'MEMBER')"))
    throw UsageError(
        who + " is not a member of csrq_owner. As a superuser: GRANT csrq_owner TO it, or migrate as one.");
}

void apply_migrations(pqxx::transaction_base& transaction, int installed, std::vector<std::string>& applied) {
  for (const Migration& migration : migrations()) {
    if (migration.version <= installed) continue;
    transaction.exec(migration.sql);
    execute(transaction, "INSERT INTO csrq.schema_version (version, name) VALUES ($1, $2)",
            {migration.version, migration.name});
    applied.push_back(migration.name);
  }
}

void apply_functions(pqxx::transaction_base& transaction, std::vector<std::string>& applied) {
  for (const Migration& function : functions()) {
    transaction.exec(function.sql);
    applied.push_back(function.name);
  }
  execute(transaction, set_setting_sql, {"functions_sha256", functions_sha256(transaction)});
}

void apply_settings(pqxx::transaction_base& transaction, const CustomersConfig& customers,
                    std::vector<std::string>& applied) {
  const auto apply = [&](const std::string& name, std::string_view value) {
    if (!execute(transaction, set_setting_sql, {name, value}).empty())
      applied.push_back(name + ": " + std::string(value));
  };
  apply("customers.register", customers.registration == Registration::closed ? "closed" : "auto");
  apply("customers.grants", to_string(customers.grants));
}

}  // namespace

SchemaStatus schema_status(Database& database) {
  SchemaStatus status;
  run_or_refuse(database, [&](pqxx::transaction_base& transaction) { status = status_in(transaction); });
  return status;
}

std::vector<std::string> migrate(Database& database, const CustomersConfig& customers,
                                 Duration lock_patience) {
  std::vector<std::string> applied;
  run_or_refuse(database, [&](pqxx::transaction_base& transaction) {
    applied.clear();
    transaction.exec("SET LOCAL client_min_messages TO warning");
    transaction.exec("SET LOCAL lock_timeout TO 0");
    transaction.exec("SET LOCAL statement_timeout TO 0");
    take_lock(transaction, lock_patience);
    const bool fresh = !has_schema(transaction);
    check_may_migrate(transaction, fresh);
    if (!fresh) transaction.exec("SET LOCAL ROLE csrq_owner");
    const int installed = installed_version(transaction);
    refuse_newer({.installed = installed,
                  .known = migrations().back().version,
                  .functions_current = false,
                  .pending = {}});
    apply_migrations(transaction, installed, applied);
    if (!applied.empty() || !functions_are_current(transaction)) apply_functions(transaction, applied);
    apply_settings(transaction, customers, applied);
    // Other calls may share this transaction.
    transaction.exec("SET LOCAL ROLE NONE");
  });
  return applied;
}

void require_schema(Database& database) {
  const SchemaStatus status = schema_status(database);
  refuse_newer(status);
  if (status.installed == 0) throw UsageError("this database has no schema csrq: run `csrq migrate`");
  if (status.installed < status.known)
    throw UsageError("the schema csrq is at version " + std::to_string(status.installed) +
                     ", this csrq needs " + std::to_string(status.known) + ": run `csrq migrate`");
  if (!status.functions_current)
    throw UsageError("the functions of the schema csrq are not those of this csrq: run `csrq migrate`");
}

}  // namespace csrq::store
