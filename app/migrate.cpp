#include <iostream>

#include "app/command.hpp"
#include "app/environment.hpp"
#include "app/output.hpp"
#include "config/config.hpp"
#include "store/migrations.hpp"

namespace csrq::app {
namespace {

const char* name_of(store::LocksOut locks_out) {
  return locks_out == store::LocksOut::readers ? "readers" : "writers";
}

void print_for_people(const store::SchemaStatus& status) {
  std::cout << "schema version " << status.installed << ", this csrq knows " << status.known << "\n";
  for (const std::string& name : status.pending) std::cout << "pending: " << name << "\n";
  if (status.installed > status.known) {
    std::cout << "the schema is newer than this csrq: install the csrq that migrated it\n";
    return;
  }
  if (status.installed == 0) return;
  for (const std::string& name : status.changed) std::cout << "changed: " << name << "\n";
  for (const std::string& name : status.missing) std::cout << "missing: " << name << "\n";
  if (!status.functions_current && status.changed.empty()) std::cout << "pending: functions and views\n";
  for (const store::TableLock& lock : status.locks)
    std::cout << "locks out " << name_of(lock.locks_out) << " of " << lock.table << " for a moment\n";
  if (status.is_current()) std::cout << "up to date\n";
}

reports::Json json_of(const store::SchemaStatus& status) {
  std::vector<reports::Json> locks;
  locks.reserve(status.locks.size());
  for (const store::TableLock& lock : status.locks)
    locks.push_back(
        reports::JsonObject{{"table", lock.table}, {"locks_out", name_of(lock.locks_out)}}.json());
  return reports::JsonObject{{"installed", status.installed},
                             {"known", status.known},
                             {"functions_current", status.functions_current},
                             {"pending", status.pending},
                             {"changed", status.changed},
                             {"missing", status.missing},
                             {"locks", reports::array_of(locks)},
                             {"current", status.is_current()}}
      .json();
}

Exit print_status(store::Database& database, bool as_json) {
  const store::SchemaStatus status = store::schema_status(database);
  if (as_json)
    print(json_of(status));
  else
    print_for_people(status);
  return status.is_current() ? Exit::done : Exit::some_failed;
}

Exit run(const Arguments& arguments) {
  arguments.expect_no_positional();
  if (arguments.has("status") && arguments.has("repair"))
    throw UsageError("--status changes nothing, --repair does: give one of them");
  const Duration patience = arguments.duration("patience").value_or(store::MigrateOptions{}.patience);
  const Config config = arguments.config();
  store::DatabaseOptions options = database_options(config);
  options.application_name = "csrq migrate";
  store::Database database(options);
  if (arguments.has("status")) return print_status(database, arguments.json());
  store::Database lookout(options);
  const std::vector<std::string> applied = store::migrate(
      database, {.registration = config.customers.registration, .grants = config.customers.grants},
      {.patience = patience, .repair = arguments.has("repair"), .lookout = &lookout});
  if (arguments.json()) {
    print(reports::JsonObject{{"applied", applied}}.json());
  } else {
    for (const std::string& name : applied) std::cout << "applied " << name << "\n";
    std::cout << "the schema is up to date\n";
  }
  return Exit::done;
}

}  // namespace

const Command migrate_command{
    .name = "migrate",
    .synopsis = "[--status | --repair] [--patience DURATION]",
    .summary = "create the schema csrq, or bring it up to date",
    .help = R"(
Applies the migrations that the database lacks, and of this binary's functions, views, triggers and policies those
that differ, in one transaction and under a lock. Safe to repeat. A schema that is newer than this binary is left
alone. The first migration also creates the group roles csrq_app, csrq_worker, csrq_responder, csrq_admin and csrq_dba,
so its login needs CREATEROLE.

A table that somebody's transaction holds is waited for for 0.2 seconds at a time, so that nobody else queues for
longer, and tried again after a pause. The log says who it is. When the patience is over: exit code 3, nothing done.

--status says what is pending, changed or missing, and which tables readers or writers would be locked out of.
It waits for nothing and changes nothing; exit code 1 if there is anything to do.

--repair applies all functions, views, triggers, policies and privileges again, whatever the database says it has.
)",
    .describe =
        [](OptionsDescription& options) {
          options.flag("status", "only say what is there and what would be done")
              .flag("repair", "apply everything again")
              .text("patience", "DURATION", "how long to try to get the locks (default 2m)");
        },
    .run = run,
};

}  // namespace csrq::app
