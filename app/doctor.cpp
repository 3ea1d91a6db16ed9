#include <algorithm>

#include "app/checkup.hpp"
#include "app/command.hpp"
#include "app/environment.hpp"
#include "config/config.hpp"
#include "notify/channels.hpp"
#include "store/diagnosis.hpp"
#include "store/grants.hpp"
#include "store/migrations.hpp"
#include "store/schema_objects.hpp"
#include "store/sealing_keys.hpp"

namespace csrq::app {
namespace {

constexpr int oldest_server = 150000;

/// Null: it cannot be used, and the checkup says why.
std::unique_ptr<Config> check_configuration(Checkup& checkup, const Arguments& arguments) {
  std::unique_ptr<Config> config;
  checkup.guard("configuration", [&] {
    config = std::make_unique<Config>(arguments.config());
    checkup.ok("configuration", config->file);
  });
  return config;
}

void check_server(Checkup& checkup, store::Database& database) {
  const store::ServerFacts facts = store::server_facts(database);
  const Duration skew = facts.clock - now();
  if (facts.version_number < oldest_server)
    checkup.fail("database", "PostgreSQL " + facts.version + " is too old", "csrq needs 15 or later");
  else
    checkup.ok("database", "PostgreSQL " + facts.version + ", database \"" + facts.database + "\", login \"" +
                               facts.login + "\"" +
                               (facts.is_standby ? ", a standby: enough for a responder" : ""));
  check_clock(checkup, "database clock", "the database's clock", skew);
}

void check_schema(Checkup& checkup, store::Database& database) {
  store::require_schema(database);
  const std::vector<store::SchemaDefect> defects = store::schema_defects(database);
  for (const store::SchemaDefect& defect : defects)
    checkup.fail("schema", defect.sentence,
                 defect.can_be_repaired
                     ? "`csrq migrate --repair` makes it again"
                     : "restore it from a backup: only a migration made it, and that runs once");
  if (defects.empty())
    checkup.ok("schema", "version " + std::to_string(store::schema_status(database).installed) +
                             ", as this csrq needs it");
}

/// A configuration without a CA is a responder's.
void check_privileges(Checkup& checkup, store::Database& database, bool as_worker) {
  const std::vector<std::string> missing =
      as_worker ? store::missing_privileges(database) : store::missing_responder_privileges(database);
  for (const std::string& sentence : missing) checkup.fail("privileges", sentence, {});
  if (missing.empty())
    checkup.ok("privileges", as_worker ? "all that a worker needs" : "all that a responder needs");
}

/// `database` may be null: then only the file is looked at.
void check_sealing_key(Checkup& checkup, const Config& config, store::Database* database) {
  const crypto::SealingKey key = open_sealing_key(config);
  const std::string& file = config.accounts.sealing_key_file;
  if (!database)
    return checkup.ok("sealing key", file + " can be read (the accounts could not be looked at)");
  std::vector<std::string> others = store::sealing_key_ids(*database);
  const bool in_use = std::erase(others, key.id()) > 0;
  for (const std::string& other : others)
    checkup.fail(
        "sealing key",
        "accounts in the database are sealed with the key " + other + "; " + file + " holds " + key.id(),
        "give this worker the file that the others use");
  if (others.empty())
    checkup.ok("sealing key",
               file + (in_use ? " opens the accounts in the database" : " can be read; no accounts yet"));
}

void check_notify(Checkup& checkup, const NotifyConfig& config) {
  const notify::Channels channels(config);
  std::string ways;
  for (const std::string& channel : channels.default_channels()) ways += (ways.empty() ? "" : ", ") + channel;
  if (ways.empty())
    checkup.warn("notify", "nobody is told of failures",
                 "set notify.webhook or notify.smtp, then try `csrq notify --test`");
  else
    checkup.ok("notify", ways + "; `csrq notify --test` sends a message");
}

void check_grants(Checkup& checkup, store::Database& database, Grants configured) {
  constexpr const char* subject = "grants";
  const store::GrantsReport report = store::grants_report(database);
  const std::string in_force = "customers.grants: " + std::string(store::to_string(report.in_force));
  if (report.in_force != configured)
    checkup.warn(
        subject,
        in_force + " is in force; the configuration says " + std::string(store::to_string(configured)),
        "`csrq migrate`, or a worker that starts, puts the configuration in force");
  if (report.in_force == Grants::off && report.app_logins > 1 && report.limited_app_logins > 0)
    checkup.warn(
        subject,
        in_force + ", and " + std::to_string(report.app_logins) +
            " logins are apps': each of them gets certificates for any name that the responder answers for",
        "set customers.grants: auto, and grant each customer its names (docs/sql.md, Grants)");
  else
    checkup.ok(subject, in_force + "; " + std::to_string(report.limited_app_logins) + " of " +
                            std::to_string(report.app_logins) + " app logins are limited to named customers");
  if (report.refused_renewals > 0)
    checkup.warn(subject,
                 std::to_string(report.refused_renewals) + " of the next renewals will be refused, request " +
                     std::to_string(store::number(report.first_refused)) +
                     " among them: their customers are not granted these names",
                 "grant them, or cancel these requests (docs/sql.md, Grants)");
}

std::unique_ptr<store::Database> check_database(Checkup& checkup, const Config& config) {
  std::unique_ptr<store::Database> database;
  checkup.guard("database", [&] {
    store::DatabaseOptions options = database_options(config);
    if (config.cas.empty()) options.access = store::Access::read_only;
    database = std::make_unique<store::Database>(options);
    check_server(checkup, *database);
  });
  if (!database) return nullptr;
  bool has_schema = false;
  checkup.guard("schema", [&] {
    check_schema(checkup, *database);
    has_schema = true;
  });
  if (!has_schema) return nullptr;
  checkup.guard("privileges", [&] { check_privileges(checkup, *database, !config.cas.empty()); });
  if (!config.cas.empty())
    checkup.guard("grants", [&] { check_grants(checkup, *database, config.customers.grants); });
  return database;
}

Exit run(const Arguments& arguments) {
  arguments.expect_no_positional();
  Checkup checkup(arguments.json());
  const std::unique_ptr<Config> config = check_configuration(checkup, arguments);
  if (!config) return checkup.conclude();
  const std::unique_ptr<store::Database> database = check_database(checkup, *config);
  if (config->cas.empty())
    checkup.warn("CA", "`cas` names none: only `csrq respond` works with this configuration",
                 "for a worker, name a CA");
  else
    checkup.guard("sealing key", [&] { check_sealing_key(checkup, *config, database.get()); });
  if (!config->cas.empty()) checkup.guard("notify", [&] { check_notify(checkup, config->notify); });
  for (const auto& [name, ca] : config->cas) check_ca(checkup, ca);
  check_challenge_path(checkup, config->challenges.http_01.listen, arguments.text("name"));
  return checkup.conclude();
}

}  // namespace

const Command doctor_command{
    .name = "doctor",
    .synopsis = "[--name HOST]",
    .summary = "check database, keys, CAs and the challenge path",
    .help = R"(
Looks at everything that issuing depends on: configuration, database, schema, privileges of the login, sealing key,
each CA with its terms, clocks, and whether csrq's responder answers. Changes nothing. Each line says ok, WARN or
FAIL and, below it, what to do.

--name goes the way of a CA to http://HOST/.well-known/acme-challenge/, redirects included, and says who answers.

Exit code: 0 no failure; 2 configuration, schema, privileges or challenge path; 3 database or CA out of reach.
)",
    .describe =
        [](OptionsDescription& options) { options.text("name", "HOST", "test the way to this name, too"); },
    .run = run,
};

}  // namespace csrq::app
