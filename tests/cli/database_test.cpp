#include <doctest/doctest.h>
#include <httplib.h>

#include <regex>
#include <thread>
#include <tuple>

#include "cli/cli_fixture.hpp"
#include "embedded/ports.hpp"

using namespace csrq;
using namespace csrq::test;
using namespace std::chrono_literals;

namespace {

/// A configuration with another database than the installation's.
std::filesystem::path with_database(const Installation& installation, const std::string& url) {
  std::string text = read_file(installation.config);
  text.replace(text.find(installation.test.url()), installation.test.url().size(), url);
  return write_file(installation.folder / "other.yaml", text);
}

/// A hot standby that follows the cluster of the tests.
struct Standby {
  Standby() {
    run_program({"pg_basebackup", "--pgdata=" + (folder / "data").string(), "--write-recovery-conf",
                 "--checkpoint=fast", "--dbname=" + cluster().url()});
    run_program(
        {"chown", "-R", "--reference=" + (run_folder() / "cluster" / "data").string(), folder / "data"});
    server.emplace(
        embedded::ClusterOptions{.folder = folder, .fsync = false, .settings = {{"max_connections", "200"}}});
  }
  static void run_program(const std::vector<std::string>& command) {
    const embedded::Outcome outcome = embedded::run({.command = command});
    if (outcome.exit_code != 0) throw std::runtime_error(outcome.output);
  }

  std::filesystem::path folder{fresh_folder()};
  std::optional<embedded::Cluster> server{};
};

std::string database_name(const Installation& installation) {
  return Sql(installation.test.url()).value("SELECT current_database()");
}

const std::string make_challenge = R"sql(
    WITH account AS (
        INSERT INTO csrq.acme_account (ca, directory, policy, owner, status)
            VALUES ('ca', 'https://ca.example/dir', 'shared', '', 'creating') RETURNING id),
    authz AS (
        INSERT INTO csrq.acme_authorization (account_id, url, customer, identifier)
            SELECT id, 'https://ca.example/authz/1', 'acme', 'a.example' FROM account RETURNING id)
    INSERT INTO csrq.acme_challenge (authorization_id, type, url, token, status, key_authorization,
                                     presented_at)
        SELECT id, 'http-01', 'https://ca.example/chall/1', 'token1', 'pending', 'token1.thumb', now()
          FROM authz
)sql";

}  // namespace

TEST_CASE(
    "a database of another encoding ends migrate, doctor, work, run and respond with 2 and the remedy") {
  const Installation installation;
  Sql(cluster().url())
      .run("CREATE DATABASE csrq_latin1 TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'");
  const auto config = with_database(installation, cluster().url("csrq_latin1"));
  const auto without_ca = write_file(installation.folder / "responder.yaml",
                                     "database: { url: \"" + cluster().url("csrq_latin1") + "\" }\n");
  for (const std::vector<std::string>& words : {std::vector<std::string>{"migrate"},
                                                {"doctor"},
                                                {"work"},
                                                {"run"},
                                                {"respond", "--listen", "127.0.0.1:0"}}) {
    CAPTURE(words.front());
    std::vector<std::string> command = words;
    // A CA out of reach, which doctor looks at, too, would outrank the encoding.
    command.insert(command.end(), {"--config", words.front() == "doctor" ? without_ca : config});
    const embedded::Outcome outcome = run_csrq(command);
    CHECK(outcome.exit_code == 2);
    CHECK_MESSAGE(says(outcome.output, "has the encoding LATIN1"), outcome.output);
    CHECK(says(outcome.output, "createdb -E UTF8 -T template0"));
  }
}

TEST_CASE(
    "a read replica serves status, check, chain, respond and the views; what writes says that it is one") {
  const Installation installation;
  installation.submit("a.example");
  Sql sql(installation.test.url());
  sql.run(make_challenge);
  const Standby standby;
  const std::string url = standby.server->url(database_name(installation));
  const auto config = with_database(installation, url);
  const auto csrq = [&](std::vector<std::string> words) {
    words.insert(words.end(), {"--config", config});
    return run_csrq(words);
  };

  sql.run("INSERT INTO csrq.event (customer, what) VALUES ('acme', 'resumed')");
  Sql replica(url);
  wait_until("the replica follows", [&] {
    return replica.value("SELECT count(*) FROM csrq.events_since('1:1:') WHERE what = 'resumed'") == "1";
  });
  CHECK(csrq({"status"}).exit_code == 0);
  CHECK(says(csrq({"status", "1", "--history"}).output, "pending"));
  CHECK(csrq({"check", "--timer"}).exit_code == 0);
  CHECK(says(csrq({"chain", "1"}).output, "has no chain (yet)"));
  pqxx::connection connection(url);
  pqxx::nontransaction statements(connection);
  for (const auto& row : statements.exec("SELECT viewname FROM pg_views WHERE schemaname = 'csrq'")) {
    CAPTURE(row[0].c_str());
    CHECK_NOTHROW(statements.exec(std::string("SELECT * FROM csrq.") + row[0].c_str()));
  }

  const std::string address = "127.0.0.1:" + std::to_string(embedded::free_port());
  embedded::Process responder({.command = {csrq_binary(), "respond", "--listen", address, "--config", config},
                               .log_file = installation.folder / "respond.log"});
  wait_until("the responder answers",
             [&] { return embedded::accepts_connections(std::stoi(address.substr(address.find(':') + 1))); });
  const auto answer = httplib::Client("http://" + address).Get("/.well-known/acme-challenge/token1");
  REQUIRE(answer);
  CHECK(answer->body == "token1.thumb");
  CHECK(responder.stop(SIGTERM) == 0);

  for (const char* command : {"work", "run", "migrate"}) {
    CAPTURE(command);
    const embedded::Outcome outcome = csrq({command});
    CHECK(outcome.exit_code == 3);
    CHECK_MESSAGE(says(outcome.output, "it is a standby: database.url must name the primary"),
                  outcome.output);
  }
}

TEST_CASE("times in JSON are RFC 3339 in UTC, whatever the database has set") {
  const Installation installation;
  installation.submit("a.example");
  Sql sql(installation.test.url());
  const std::string name = database_name(installation);
  sql.run("ALTER DATABASE " + name + " SET TimeZone = 'Asia/Kolkata'");
  sql.run("ALTER DATABASE " + name + " SET DateStyle = 'SQL, DMY'");
  const nlohmann::json line = installation.json({"status", "1", "--history"}).at(0);
  const std::regex utc("20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?Z");
  CHECK(std::regex_match(line.at("updated_at").get<std::string>(), utc));
  CHECK(std::regex_match(line.at("next_attempt_at").get<std::string>(), utc));
}

TEST_CASE("respond: SIGTERM ends a responder within ten seconds while the database is away") {
  const Installation installation;
  const int port = embedded::free_port();
  const std::string address = "127.0.0.1:" + std::to_string(port);
  embedded::Process responder(
      {.command = {csrq_binary(), "respond", "--listen", address, "--config", installation.config},
       .log_file = installation.folder / "respond.log"});
  wait_until("the responder answers", [&] { return embedded::accepts_connections(port); });
  cluster().stop();
  std::thread client(
      [&] { std::ignore = httplib::Client("http://" + address).Get("/.well-known/acme-challenge/token1"); });
  wait_until("it looks for the database",
             [&] { return says(read_file(installation.folder / "respond.log"), "lost the connection"); });
  responder.signal(SIGTERM);
  CHECK(responder.wait(10s) == 0);
  client.join();
  cluster().start();
}

TEST_CASE("migrate: behind an idle reader it ends with 3 after its patience, and says who that is") {
  const Installation installation;
  Sql sql(installation.test.url());
  sql.run("DELETE FROM csrq.schema_statement");
  sql.run("UPDATE csrq.setting SET value = 'others' WHERE name = 'functions_sha256'");
  const std::string login = "idler";
  Sql idle(installation.test.url_as(login));
  sql.run("GRANT csrq_app TO " + login);
  idle.run("BEGIN");
  idle.run("SELECT count(*) FROM csrq.request");

  const nlohmann::json status = installation.json({"migrate", "--status"});
  CHECK(says(status.at("locks").dump(), R"({"locks_out":"readers","table":"csrq.request"})"));
  CHECK(status.at("current") == false);
  const embedded::Outcome outcome = installation({"migrate", "--patience", "1s"});
  CHECK(outcome.exit_code == 3);
  for (const char* part : {"login \"idler\"", "since 20", "SELECT count(*) FROM csrq.request"})
    CHECK_MESSAGE(says(outcome.output, part), outcome.output);
  CHECK(installation({"migrate", "--status"}).exit_code == 1);

  idle.run("COMMIT");
  CHECK(installation({"migrate"}).exit_code == 0);
  CHECK(installation({"migrate", "--status"}).exit_code == 0);
  CHECK(installation({"migrate", "--status", "--repair"}).exit_code == 2);
}

TEST_CASE("respond: a responder whose schema another csrq has migrated ends with 3") {
  const Installation installation;
  const int port = embedded::free_port();
  embedded::Process responder(
      {.command = {csrq_binary(), "respond", "--listen", "127.0.0.1:" + std::to_string(port), "--config",
                   installation.config},
       .log_file = installation.folder / "respond.log"});
  wait_until("the responder answers", [&] { return embedded::accepts_connections(port); });
  Sql(installation.test.url())
      .run("INSERT INTO csrq.schema_version (version, name) VALUES (999, 'from the future')");
  CHECK(responder.wait(60s) == 3);
  CHECK(says(read_file(installation.folder / "respond.log"), "newer than this csrq"));
}
