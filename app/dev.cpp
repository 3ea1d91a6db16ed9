#include <fstream>
#include <future>
#include <iostream>
#include <iterator>

#include "app/command.hpp"
#include "app/dev_folder.hpp"
#include "app/stop_switch.hpp"
#include "app/worker.hpp"
#include "base/log.hpp"
#include "base/secret.hpp"
#include "config/config.hpp"
#include "embedded/cluster.hpp"
#include "embedded/cluster_folder.hpp"
#include "embedded/pebble.hpp"
#include "embedded/ports.hpp"
#include "store/logins.hpp"
#include "store/migrations.hpp"
#include "workers/signals.hpp"

namespace csrq::app {
namespace {

namespace fs = std::filesystem;

// What config.example.yaml names.
constexpr const char* default_folder = "var/dev";
constexpr int database_port = 54320;
constexpr int directory_port = 14000;
constexpr int management_port = 15000;
constexpr int challenge_port = 5002;
constexpr const char* database_name = "csrq";
constexpr const char* admin_login = "csrq_dev";
constexpr const char* app_login = "csrq_dev_app";

constexpr const char* configuration =
    R"(# Written by `csrq dev` at each start: what you change here is lost. Copy it to try other settings.
database:
  url: postgresql://csrq_dev@127.0.0.1:54320/csrq
  password_file: password
cas:
  pebble:
    directory: https://localhost:14000/dir
    ca_file: ca.pem
    contact: ["mailto:ops@example.net"]
    terms_of_service_agreed: true
    orders_in_flight: 2  # the Pebble of Debian 12 deadlocks with more
accounts:
  sealing_key_file: sealing.key
# No challenges.http-01.listen: `csrq dev` itself answers, at 127.0.0.1:5002.
)";

/// FOLDER stands for the folder.
constexpr const char* welcome = R"text(
csrq dev: a private PostgreSQL, a test CA (Pebble), a responder and a worker. Ctrl-C stops them all.
Database, keys and logs are in FOLDER; delete it to start afresh. Every name is valid here: the CA looks for all
of them at 127.0.0.1:5002.

In a second terminal, in this folder:

  export PATH="$PWD/build/release:$PATH" CSRQ_CONFIG=FOLDER/csrq.yaml
  export PGHOST=127.0.0.1 PGPORT=54320 PGDATABASE=csrq PGPASSFILE=FOLDER/pgpass

As an app, ask for a certificate and read its chain:

  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout shop.key -out shop.csr \
    -subj / -addext subjectAltName=DNS:shop.example.com
  psql -U csrq_dev_app -v csr="$(cat shop.csr)" <<< \
    "INSERT INTO csrq.request (customer, csr) VALUES ('acme-gmbh', :'csr') RETURNING id"
  psql -U csrq_dev_app -c 'SELECT id, customer, names, status, not_after FROM csrq.request'
  psql -U csrq_dev_app -Atc 'SELECT chain FROM csrq.request ORDER BY id DESC LIMIT 1' > shop.pem
  openssl verify -CAfile FOLDER/root.pem -untrusted shop.pem shop.pem

Look around:

  csrq status        # and csrq status ID, csrq chain ID, csrq doctor, csrq --help
  psql -U csrq_dev   # may all that csrq's roles may: csrq.status, csrq.failures, csrq.workers, …
  psql -U postgres   # the superuser

)text";

std::string welcome_to(const std::string& folder) {
  constexpr std::string_view placeholder = "FOLDER";
  std::string text = welcome;
  for (std::size_t at = 0; (at = text.find(placeholder, at)) != std::string::npos; at += folder.size())
    text.replace(at, placeholder.size(), folder);
  return text;
}

struct Port {
  int number;
  const char* of;
};

void check_ports() {
  for (const Port& port :
       {Port{database_port, "PostgreSQL"}, Port{directory_port, "the test CA"},
        Port{management_port, "the test CA's management"}, Port{challenge_port, "the http-01 responder"}}) {
    if (embedded::can_listen(port.number)) continue;
    const std::string number = std::to_string(port.number);
    throw UsageError("port " + number + " of 127.0.0.1, wanted for " + port.of +
                     ", is in use: stop what listens there (`ss -ltnp sport = :" + number +
                     "` shows it as root)");
  }
}

std::string whole_file(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// For psql: nobody has to type a password.
std::string password_lines(const std::string& admin, const std::string& app, const std::string& superuser) {
  const std::string start = "127.0.0.1:" + std::to_string(database_port) + ":*:";
  return start + admin_login + ":" + admin + "\n" + start + app_login + ":" + app + "\n" + start +
         "postgres:" + superuser + "\n";
}

void migrate(store::Database& database, const Config& config, const fs::path& data) {
  try {
    for (const std::string& name : store::migrate(
             database, {.registration = config.customers.registration, .grants = config.customers.grants}))
      log::debug("applied", {{"migration", name}});
  } catch (const UsageError& error) {
    throw UsageError(std::string(error.what()) + "; or start afresh: delete " + data.string());
  }
}

void prepare_database(embedded::Cluster& cluster, const DevFolder& folder, const Config& config) {
  store::create_database({.url = cluster.url()}, database_name);
  store::Database database({.url = cluster.url(database_name)});
  migrate(database, config, folder.file("postgresql"));
  const std::string admin = folder.password("password");
  const std::string app = folder.password("app_password");
  store::make_login(database, {.name = admin_login,
                               .password = admin,
                               .roles = {"csrq_owner", "csrq_app", "csrq_worker", "csrq_responder",
                                         "csrq_admin", "csrq_dba"},
                               .customers = {"*"}});
  store::make_login(database,
                    {.name = app_login, .password = app, .roles = {"csrq_app"}, .customers = {"*"}});
  const Secret superuser = read_secret_file(cluster.password_file());
  folder.write_private("pgpass", password_lines(admin, app, std::string(superuser.reveal())));
}

/// Its root is new at each start, as are its accounts: csrq registers its keys again when they are needed.
void publish_certificates(const embedded::Pebble& pebble, const DevFolder& folder) {
  folder.write("ca.pem", whole_file(pebble.ca_file()));
  folder.write("root.pem", pebble.root_pem());
}

Config write_config(const DevFolder& folder) {
  folder.write("csrq.yaml", configuration);
  if (!fs::exists(folder.file("sealing.key"))) crypto::write_sealing_key(folder.file("sealing.key"));
  Config config = load_config(folder.file("csrq.yaml"));
  config.challenges.http_01.listen = "127.0.0.1:" + std::to_string(challenge_port);
  return config;
}

/// This thread owns the child processes, so it only waits; the worker has another.
void work(Worker& worker, StopSwitch& stop_switch, embedded::Cluster& cluster, embedded::Pebble& pebble) {
  std::future<void> work = std::async(std::launch::async, [&] { worker.work(); });
  stop_switch.connect([&] { worker.stop(); });
  std::string ended;
  while (work.wait_for(std::chrono::seconds(1)) == std::future_status::timeout) {
    if (!ended.empty()) continue;
    if (!pebble.running()) ended = "Pebble has ended; its log is pebble.log in the folder's pebble";
    if (!cluster.running()) ended = "PostgreSQL has ended; its log is " + cluster.log_file();
    if (!ended.empty()) worker.stop();
  }
  stop_switch.connect({});
  work.get();
  if (!ended.empty()) throw Unreachable(ended);
}

/// Between the stages of the start it is looked whether Ctrl-C came: each of them takes a second or so.
void start_and_work(const DevFolder& folder, StopSwitch& stop_switch, bool talks_to_people) {
  embedded::wait_until_unused(folder.file("postgresql") / "data");
  check_ports();
  const Config config = write_config(folder);
  embedded::Cluster cluster({.folder = folder.file("postgresql"), .port = database_port});
  if (stop_switch.stopped()) return;
  prepare_database(cluster, folder, config);
  if (stop_switch.stopped()) return;
  embedded::Pebble pebble(
      {.folder = folder.file("pebble"), .port = directory_port, .management_port = management_port});
  publish_certificates(pebble, folder);
  if (stop_switch.stopped()) return;
  MetricsPort metrics_port;
  Worker worker(config, metrics_port, {});
  if (talks_to_people) std::cout << welcome_to(folder.path().string()) << std::flush;
  work(worker, stop_switch, cluster, pebble);
}

Exit run(const Arguments& arguments) {
  arguments.expect_no_positional();
  if (arguments.has("config"))
    throw UsageError(
        "csrq dev writes a configuration of its own, csrq.yaml in its folder; for another one start "
        "`csrq work --config FILE`");
  log::configure(log::Level::info, arguments.json() ? log::Format::json : log::Format::text);
  StopSwitch stop_switch;
  const auto stop = [&] { stop_switch.stop(); };
  const workers::Signals signals(stop, stop);  // SIGHUP: its terminal was closed
  const DevFolder folder(arguments.text("folder", default_folder));
  start_and_work(folder, stop_switch, !arguments.json());
  log::info("stopped");
  return Exit::done;
}

}  // namespace

const Command dev_command{
    .name = "dev",
    .synopsis = "[--folder DIR]",
    .summary = "try csrq: a private PostgreSQL, a test CA and a worker, until Ctrl-C",
    .help = R"(
Starts everything that csrq needs, private to one folder (default ./var/dev): a PostgreSQL cluster with the schema
and logins, Pebble (Let's Encrypt's small CA for tests) with its DNS server, the http-01 responder and a worker. It
says how to get in, and runs in the foreground until Ctrl-C or SIGTERM; then everything is stopped. The database is
kept for the next time; the test CA forgets everything.

The configuration it writes is csrq.yaml in the folder; config.example.yaml fits, too. The programs come from the
Debian packages postgresql, pebble and openssl.
)",
    .describe =
        [](OptionsDescription& options) {
          options.text("folder", "DIR", "where data, keys and logs are kept (default ./var/dev)");
        },
    .run = run,
};

}  // namespace csrq::app
