#include "store/migrations.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <thread>

#include "base/error.hpp"
#include "base/log.hpp"
#include "store/blockers.hpp"
#include "store/grants.hpp"
#include "store/schema_changes.hpp"
#include "store/schema_plan.hpp"
#include "store/sql.hpp"

namespace csrq::store {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

/// How long whoever wants a table may have to queue behind migrate, and how long they are then left alone.
constexpr auto lock_patience = "200ms";
constexpr auto shortest_pause = 1s;
constexpr auto longest_pause = 5s;
constexpr auto lookout_interval = 50ms;

// Any number does, as long as every csrq takes this one ("csrq" in ASCII).
constexpr int migrate_lock = 1668510321;

constexpr auto set_setting_sql = R"sql(
    INSERT INTO csrq.setting AS s (name, value) VALUES ($1, $2)
    ON CONFLICT (name) DO UPDATE
       SET value = EXCLUDED.value, updated_at = now()
     WHERE s.value <> EXCLUDED.value
    RETURNING name
)sql";

void refuse_newer(const SchemaVersion& version) {
  if (version.installed > version.known)
    throw WrongSchema("the schema csrq is at version " + std::to_string(version.installed) +
                      " and newer than this csrq, which knows " + std::to_string(version.known) +
                      ": install the csrq that migrated it");
}

/// Before anything is done, so that an attempt which does not get them costs little. A view is locked when
/// its turn comes: LOCK TABLE would lock the tables behind it, too.
void take_locks(pqxx::transaction_base& transaction, const Plan& plan) {
  for (const TableLock& lock : plan.status.locks)
    if (plan.before.contains("table " + lock.table))
      transaction.exec("LOCK TABLE " + lock.table + " IN " +
                       (lock.locks_out == LocksOut::readers ? "ACCESS EXCLUSIVE" : "SHARE ROW EXCLUSIVE") +
                       " MODE");
}

/// Any login that may connect can take the lock.
void take_migrate_lock(pqxx::transaction_base& transaction) {
  if (!one_value(transaction, "SELECT pg_try_advisory_xact_lock($1)", {migrate_lock}).as<bool>())
    throw TryAgain(holder_of_advisory_lock(transaction, migrate_lock) + ", who has the lock of csrq migrate");
}

/// What migrate needs a role for, checked one by one before anything is done, so that the message can name
/// it.
void check_may_migrate(pqxx::transaction_base& transaction, bool fresh) {
  const auto may = [&](const char* condition) { return one_value(transaction, condition).as<bool>(); };
  const std::string who = login_of(transaction);
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

void apply_migrations(pqxx::transaction_base& transaction, const Plan& plan,
                      std::vector<std::string>& applied) {
  for (const Migration& migration : plan.migrations) {
    transaction.exec(migration.sql);
    execute(transaction, "INSERT INTO csrq.schema_version (version, name) VALUES ($1, $2)",
            {migration.version, migration.name});
    applied.push_back(migration.name);
  }
}

/// What is no longer wanted, functions or all else. A function goes last: what used it before has been
/// replaced by then.
void drop_unwanted(pqxx::transaction_base& transaction, const Plan& plan, bool functions) {
  std::vector<std::string> objects = plan.unwanted;
  std::erase_if(objects,
                [&](const std::string& object) { return object.starts_with("function ") != functions; });
  drop(transaction, objects, [&](const std::string& object) { return plan.is_ours(object); });
}

/// Functions first: what stands on one that is made anew goes with it, and is missing then. What is made anew
/// has lost its privileges. No function needs the others while it is made (scripts/check-sql).
void apply_statements(pqxx::transaction_base& transaction, const Plan& plan,
                      std::vector<std::string>& applied) {
  transaction.exec("SET LOCAL check_function_bodies TO off");
  const auto is_ours = [&](const std::string& object) { return plan.is_ours(object); };
  bool grants = plan.privileges_differ || !plan.migrations.empty();
  const auto first_other = std::ranges::find_if(
      plan.statements, [](const Statement& one) { return one.kind != StatementKind::function; });
  for (auto function = plan.statements.begin(); function != first_other; ++function)
    if (apply(transaction, *function, is_ours)) grants = true;
  const SchemaObjects present = present_objects(transaction);
  for (auto statement = first_other; statement != plan.statements.end(); ++statement)
    if (plan.is_due(*statement, present) || (grants && statement->kind == StatementKind::privilege))
      grants |= apply(transaction, *statement, is_ours);
  for (const Statement& statement : plan.statements)
    if (std::ranges::find(applied, statement.file) == applied.end()) applied.push_back(statement.file);
  execute(transaction, set_setting_sql, {"functions_sha256", functions_sha256(transaction)});
}

void apply_settings(pqxx::transaction_base& transaction, const CustomerSettings& customers,
                    std::vector<std::string>& applied) {
  const auto apply = [&](const std::string& name, std::string_view value) {
    if (!execute(transaction, set_setting_sql, {name, value}).empty())
      applied.push_back(name + ": " + std::string(value));
  };
  apply("customers.register", customers.registration == CustomerRegistration::closed ? "closed" : "auto");
  apply("customers.grants", to_string(customers.grants));
}

std::vector<std::string> migrate_at_once(pqxx::transaction_base& transaction,
                                         const CustomerSettings& customers, bool repair) {
  std::vector<std::string> applied;
  transaction.exec("SET LOCAL client_min_messages TO warning");
  transaction.exec(std::string("SET LOCAL lock_timeout TO '") + lock_patience + "'");
  transaction.exec("SET LOCAL statement_timeout TO 0");
  take_migrate_lock(transaction);
  const bool fresh = !has_schema(transaction);
  check_may_migrate(transaction, fresh);
  if (!fresh) transaction.exec("SET LOCAL ROLE csrq_owner");
  const Plan plan = make_plan(transaction, repair);
  refuse_newer(plan.status);
  if (!plan.is_empty()) {
    take_locks(transaction, plan);
    drop_unwanted(transaction, plan, false);
    apply_migrations(transaction, plan, applied);
    apply_statements(transaction, plan, applied);
    drop_unwanted(transaction, plan, true);
    record(transaction, plan);
  }
  apply_settings(transaction, customers, applied);
  // Other calls may share this transaction.
  transaction.exec("SET LOCAL ROLE NONE");
  return applied;
}

/// Runs `attempt` on a thread of its own, and looks meanwhile who keeps its session, `process`, waiting.
std::vector<std::string> watched(const std::function<std::vector<std::string>()>& attempt,
                                 const std::atomic<int>& process, Database* lookout, std::string& blockers) {
  if (!lookout) return attempt();
  std::future<std::vector<std::string>> result = std::async(std::launch::async, attempt);
  while (result.wait_for(lookout_interval) == std::future_status::timeout)
    lookout->run([&](pqxx::transaction_base& transaction) {
      if (std::string found = blockers_of(transaction, process); !found.empty()) blockers = std::move(found);
    });
  return result.get();
}

}  // namespace

SchemaStatus schema_status(Database& database) {
  SchemaStatus status;
  run_or_refuse(database,
                [&](pqxx::transaction_base& transaction) { status = make_plan(transaction, false).status; });
  return status;
}

std::vector<std::string> migrate(Database& database, const CustomerSettings& customers,
                                 const MigrateOptions& options) {
  std::atomic<int> process{0};
  const auto attempt = [&] {
    std::vector<std::string> applied;
    run_or_refuse(database, [&](pqxx::transaction_base& transaction) {
      process = one_value(transaction, "SELECT pg_backend_pid()").as<int>();
      applied = migrate_at_once(transaction, customers, options.repair);
    });
    return applied;
  };
  const Clock::time_point give_up = Clock::now() + options.patience;
  std::string told;
  for (Duration pause = shortest_pause;; pause = std::min<Duration>(pause * 2, longest_pause)) {
    std::string blockers;
    try {
      return watched(attempt, process, options.lookout, blockers);
    } catch (const TryAgain& refused) {
      if (blockers.empty()) blockers = refused.what();
    }
    if (Clock::now() >= give_up)
      throw TryAgain("csrq migrate has tried for " + to_text(options.patience) + ", and waits for " +
                     blockers);
    if (blockers != told) log::warning("csrq migrate waits, and tries again", {{"for", blockers}});
    told = blockers;
    std::this_thread::sleep_for(std::min<Clock::duration>(pause, give_up - Clock::now()));
  }
}

void require_schema(Database& database) {
  SchemaVersion version;
  run_or_refuse(database,
                [&](pqxx::transaction_base& transaction) { version = schema_version(transaction); });
  refuse_newer(version);
  if (version.installed == 0) throw WrongSchema("this database has no schema csrq: run `csrq migrate`");
  if (version.installed < version.known)
    throw WrongSchema("the schema csrq is at version " + std::to_string(version.installed) +
                      ", this csrq needs " + std::to_string(version.known) + ": run `csrq migrate`");
  if (!version.functions_current)
    throw WrongSchema("the functions of the schema csrq are not those of this csrq: run `csrq migrate`");
}

void require_same_schema(Database& database) {
  try {
    require_schema(database);
  } catch (const WrongSchema& now) {
    throw SchemaChanged(now);
  }
}

}  // namespace csrq::store
