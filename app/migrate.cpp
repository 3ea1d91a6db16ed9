#include <iostream>

#include <nlohmann/json.hpp>

#include "app/command.hpp"
#include "app/environment.hpp"
#include "app/json_line.hpp"
#include "store/migrations.hpp"

namespace csrq::app {
namespace {

Exit print_status(store::Database& database, bool as_json) {
  const store::SchemaStatus status = store::schema_status(database);
  const bool current = status.pending.empty() && status.functions_current && status.installed <= status.known;
  if (as_json) {
    std::cout << json_line(nlohmann::json{{"installed", status.installed},
                                          {"known", status.known},
                                          {"functions_current", status.functions_current},
                                          {"pending", status.pending},
                                          {"current", current}});
  } else {
    std::cout << "schema version " << status.installed << ", this csrq knows " << status.known << "\n";
    for (const std::string& name : status.pending) std::cout << "pending: " << name << "\n";
    if (status.installed > status.known)
      std::cout << "the schema is newer than this csrq: install the csrq that migrated it\n";
    else if (!status.functions_current)
      std::cout << "pending: functions and views\n";
    if (current) std::cout << "up to date\n";
  }
  return current ? Exit::done : Exit::some_failed;
}

Exit run(const Arguments& arguments) {
  arguments.expect_no_positional();
  const Config config = arguments.config();
  store::Database database(database_options(config));
  if (arguments.has("status")) return print_status(database, arguments.json());
  const std::vector<std::string> applied = store::migrate(database, config.customers);
  if (arguments.json()) {
    std::cout << json_line(nlohmann::json{{"applied", applied}});
  } else {
    for (const std::string& name : applied) std::cout << "applied " << name << "\n";
    std::cout << "the schema is up to date\n";
  }
  return Exit::done;
}

}  // namespace

const Command migrate_command{
    .name = "migrate",
    .synopsis = "[--status]",
    .summary = "create the schema csrq, or bring it up to date",
    .help =
        "Applies the migrations that the database lacks, and this binary's functions and views, in one "
        "transaction and under a\n"
        "lock. Safe to repeat. A schema that is newer than this binary is left alone. The first migration "
        "also creates the\n"
        "group roles csrq_app, csrq_worker, csrq_responder, csrq_admin and csrq_dba, so its login needs "
        "CREATEROLE.\n",
    .describe =
        [](OptionsDescription& options) {
          options.flag("status", "only say what is there and what is pending; exit code 1 if anything is");
        },
    .run = run};

}  // namespace csrq::app
