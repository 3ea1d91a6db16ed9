#include <doctest/doctest.h>

#include <mutex>
#include <optional>

#include "cli/cli_fixture.hpp"
#include "support/loopback_listener.hpp"

using namespace csrq;
using namespace csrq::test;

namespace {

/// A CA that takes connections and never answers, until it is closed.
class SilentCa {
 public:
  SilentCa() : thread_([this] { accept(); }) {}
  ~SilentCa() {
    close();
    thread_.join();
  }
  SilentCa(const SilentCa&) = delete;
  SilentCa& operator=(const SilentCa&) = delete;

  int port() const { return listener_.port(); }
  std::string directory() const { return "https://127.0.0.1:" + std::to_string(port()) + "/dir"; }
  bool was_asked() const {
    const std::scoped_lock lock(mutex_);
    return asked_;
  }
  /// Its callers get no answer any more.
  void close() {
    const std::scoped_lock lock(mutex_);
    listener_.shut_down();
    for (const int connection : connections_) ::close(connection);
    connections_.clear();
  }

 private:
  void accept() {
    for (int connection = 0; (connection = listener_.accept()) >= 0;) {
      const std::scoped_lock lock(mutex_);
      asked_ = true;
      connections_.push_back(connection);
    }
  }

  LoopbackListener listener_{8};
  mutable std::mutex mutex_{};
  bool asked_{false};
  std::vector<int> connections_{};
  std::thread thread_;
};

/// `csrq work` as a service manager runs it.
struct Service {
  explicit Service(const Installation& installation)
      : log(installation.folder / "work.log"),
        process({.command = {csrq_binary(), "work", "--config", installation.config}, .log_file = log}) {}

  bool logged(const std::string& part) const { return says(read_file(log), part); }
  void wait_for(const std::string& part) {
    wait_until(part, [&] { return logged(part); });
  }
  int stop() { return process.stop(SIGTERM, std::chrono::seconds(60)); }

  std::filesystem::path log;
  embedded::Process process;
};

/// The server that the tests share is shut down.
struct DatabaseAway {
  DatabaseAway() { cluster().stop(); }
  ~DatabaseAway() { cluster().start(); }
};

/// One with three rows, of which one waits for the CA's answer.
struct BusyWorker {
  BusyWorker() {
    for (const char* name : {"a.example", "b.example", "c.example"}) installation.submit(name);
    service.emplace(installation);
    wait_until("three rows are claimed and the CA is asked", [&] {
      return ca.was_asked() && sql.value("SELECT count(*) FROM csrq.job WHERE status = 'leased'") == "3";
    });
  }
  void check_rows_are_given_back() {
    CHECK(sql.value("SELECT count(*) FROM csrq.job WHERE status = 'ready'") == "3");
    CHECK(sql.value("SELECT count(*) FROM csrq.worker WHERE stopped_at IS NULL") == "0");
  }

  SilentCa ca{};
  const Installation installation{ca.directory(), "worker: { threads: 1, in_flight: 3 }\n"};
  Sql sql{installation.test.url()};
  std::optional<Service> service{};
};

}  // namespace

TEST_CASE("run: SIGTERM ends a batch within ten seconds while the database is away") {
  SilentCa ca;
  const Installation installation(ca.directory());
  installation.submit("a.example");
  embedded::Process batch({.command = {csrq_binary(), "run", "--config", installation.config},
                           .log_file = installation.folder / "run.log"});
  wait_until("the CA is asked", [&] { return ca.was_asked(); });
  const DatabaseAway away;
  batch.signal(SIGTERM);
  CHECK(batch.wait(std::chrono::seconds(10)).has_value());
}

TEST_CASE("work: at SIGTERM the step under way ends, the other rows are given back, and the exit code is 0") {
  BusyWorker worker;
  worker.service->process.signal(SIGTERM);
  worker.service->wait_for("stopping");
  CHECK(worker.service->process.running());
  worker.ca.close();
  CHECK(worker.service->process.wait(std::chrono::seconds(60)) == 0);
  worker.check_rows_are_given_back();
  CHECK(worker.service->logged("stopped"));
}

TEST_CASE("work: at SIGHUP a good configuration is put in force, one with a mistake is not") {
  const Installation installation;
  Sql sql(installation.test.url());
  const auto workers = [&] { return sql.value("SELECT count(*) FROM csrq.worker"); };
  Service service(installation);
  wait_until("a worker runs", [&] { return workers() == "1"; });

  installation.write_config("worker: { theads: 4 }\n");
  service.process.signal(SIGHUP);
  service.wait_for("the new configuration cannot be used; the old one stays");
  CHECK(service.logged("csrq.yaml:10: "));
  CHECK(workers() == "1");

  installation.write_config("worker: { threads: 4 }\n");
  service.process.signal(SIGHUP);
  wait_until("the next worker runs", [&] { return workers() == "2"; });
  CHECK(sql.value("SELECT count(*) FROM csrq.worker WHERE stopped_at IS NULL") == "1");
  CHECK(service.stop() == 0);
}

TEST_CASE("work: an EAB key that cannot be read keeps the old configuration, without a pause") {
  const Installation installation;
  Sql sql(installation.test.url());
  const auto workers = [&] { return sql.value("SELECT count(*) FROM csrq.worker"); };
  Service service(installation);
  wait_until("a worker runs", [&] { return workers() == "1"; });
  write_bad_eab(installation);
  service.process.signal(SIGHUP);
  service.wait_for("the new configuration cannot be used; the old one stays");
  CHECK(service.logged("mac.key"));
  CHECK(workers() == "1");
  CHECK(sql.value("SELECT count(*) FROM csrq.worker WHERE stopped_at IS NULL") == "1");
  CHECK(service.stop() == 0);
}

TEST_CASE("work and run: an EAB key that cannot be read ends with 2, before the database is asked") {
  const Installation installation;
  Sql sql(installation.test.url());
  installation.submit("a.example");
  write_bad_eab(installation);
  for (const char* command : {"work", "run"}) {
    CAPTURE(command);
    const embedded::Outcome outcome = installation({command});
    CHECK(outcome.exit_code == 2);
    CHECK_MESSAGE(says(outcome.output, "mac.key: cas.ca.eab.hmac_key_file"), outcome.output);
  }
  CHECK(sql.value("SELECT count(*) FROM csrq.worker") == "0");
  CHECK(sql.value("SELECT attempt FROM csrq.job") == "0");
}

TEST_CASE("work and run: a sealing key that opens none of the accounts ends with 2, and nothing is claimed") {
  const Installation installation;
  Sql sql(installation.test.url());
  installation.submit("a.example");
  store::Database database({.url = installation.test.url()});
  (void)store::find_or_create_account(database, some_owner("another"), some_key('a'));
  for (const char* command : {"work", "run"}) {
    CAPTURE(command);
    const embedded::Outcome outcome = installation({command});
    CHECK(outcome.exit_code == 2);
    CHECK_MESSAGE(says(outcome.output, "sealing.key holds the sealing key"), outcome.output);
  }
  CHECK(sql.value("SELECT count(*) FROM csrq.acme_account") == "1");
  CHECK(sql.value("SELECT attempt FROM csrq.job") == "0");
}

TEST_CASE("work and run: the first worker's sealing key is the database's, before there is any account") {
  const Installation installation;
  Sql sql(installation.test.url());
  CHECK(installation({"run"}).exit_code == 0);
  installation.submit("a.example");
  std::filesystem::remove(installation.folder / "sealing.key");
  const auto refused = [&](const char* reason) {
    for (const char* command : {"work", "run"}) {
      CAPTURE(command);
      const embedded::Outcome outcome = installation({command});
      CHECK(outcome.exit_code == 2);
      CHECK_MESSAGE(says(outcome.output, reason), outcome.output);
    }
    CHECK(sql.value("SELECT count(*) FROM csrq.acme_account") == "0");
    CHECK(sql.value("SELECT attempt FROM csrq.job") == "0");
  };
  refused("sealing.key");
  run_csrq({"keygen", installation.folder / "sealing.key"});
  refused("sealing.key holds the sealing key");
  CHECK(sql.value("SELECT count(*) FROM csrq.worker") == "1");
}

TEST_CASE("work: a worker whose schema another csrq has migrated gives its rows back and ends with 3") {
  BusyWorker worker;
  worker.sql.run("INSERT INTO csrq.schema_version (version, name) VALUES (999, 'from the future')");
  worker.ca.close();
  CHECK(worker.service->process.wait(std::chrono::seconds(60)) == 3);
  CHECK(worker.service->logged("the rows are given back, and the worker ends"));
  CHECK(worker.service->logged("the schema csrq is at version 999 and newer than this csrq"));
  worker.check_rows_are_given_back();
}

TEST_CASE("work: a reload finds that another csrq has migrated the schema, and ends with 3") {
  const Installation installation;
  Service service(installation);
  service.wait_for(" working ");
  Sql(installation.test.url())
      .run("INSERT INTO csrq.schema_version (version, name) VALUES (999, 'from the future')");
  service.process.signal(SIGHUP);
  CHECK(service.process.wait(std::chrono::seconds(60)) == 3);
  CHECK(service.logged("the schema has changed under this process"));
}

TEST_CASE("work: a configuration that cannot be put in force does not cost the worker") {
  SilentCa other_server;
  const Installation installation;
  Sql sql(installation.test.url());
  Service service(installation);
  service.wait_for(" working ");

  installation.write_config(
      "challenges: { http-01: { listen: \"127.0.0.1:" + std::to_string(other_server.port()) + "\" } }\n");
  service.process.signal(SIGHUP);
  service.wait_for("the old configuration stays in force");
  CHECK(service.logged("the new configuration cannot be put in force"));
  wait_until("the next worker runs", [&] {
    return sql.value("SELECT count(*) FROM csrq.worker WHERE stopped_at IS NULL") == "1" &&
           sql.value("SELECT count(*) FROM csrq.worker") == "2";
  });
  CHECK(service.stop() == 0);
}

TEST_CASE("work: SIGTERM ends a worker within ten seconds while the database is away, busy or not") {
  for (const bool busy : {false, true}) {
    CAPTURE(busy);
    SilentCa ca;
    const Installation installation(ca.directory());
    if (busy) installation.submit("a.example");
    Service service(installation);
    service.wait_for(" working ");
    if (busy) wait_until("the CA is asked", [&] { return ca.was_asked(); });
    const DatabaseAway away;  // and the CA does not answer either
    service.wait_for("lost the connection to the database");
    service.process.signal(SIGTERM);
    CHECK(service.process.wait(std::chrono::seconds(10)) == 0);
  }
}

TEST_CASE("work: SIGTERM ends a worker that waits for a free connection at its start") {
  const Installation installation;
  Sql sql(installation.test.url());
  const std::string url = installation.test.url_as("crowded");
  sql.run("GRANT csrq_worker TO crowded");
  sql.run("ALTER ROLE crowded CONNECTION LIMIT 1");
  const Sql only(url);
  std::string config = read_file(installation.config);
  config.replace(config.find(installation.test.url()), installation.test.url().size(), url);
  write_file(installation.config, config);
  Service service(installation);
  service.wait_for("no connection free");
  service.process.signal(SIGTERM);
  CHECK(service.process.wait(std::chrono::seconds(10)) == 0);
}

TEST_CASE("work: what is wrong at the start ends with the exit code of its kind") {
  const Installation installation;
  std::filesystem::permissions(installation.folder / "sealing.key", std::filesystem::perms::others_read,
                               std::filesystem::perm_options::add);
  const embedded::Outcome outcome = installation({"work"});
  CHECK(outcome.exit_code == 2);
  CHECK(says(outcome.output, "sealing.key"));
}

TEST_CASE("a worker whose machine has another time than the database warns of the clock, once") {
  const Installation csrq;
  CHECK_FALSE(says(csrq({"run", "--limit", "1"}).output, "clock"));
  Sql(csrq.test.url())
      .run(
          "CREATE OR REPLACE FUNCTION csrq.clock() RETURNS timestamptz LANGUAGE sql AS "
          "$$ SELECT clock_timestamp() + interval '2 minutes' $$");
  const std::string output = csrq({"run", "--limit", "1"}).output;
  const std::size_t first = output.find("clock");
  CHECK(first != std::string::npos);
  CHECK(output.find("machine's clock", first + 1) == std::string::npos);
}
