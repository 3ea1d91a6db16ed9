#include <doctest/doctest.h>

#include "cli/cli_fixture.hpp"
#include "embedded/ports.hpp"
#include "support/test_csr.hpp"

using namespace csrq;
using namespace csrq::test;
namespace fs = std::filesystem;

namespace {

const std::vector<std::string> commands{"authz",   "cancel", "chain",  "dev",     "doctor", "keygen",
                                        "migrate", "prune",  "renew",  "respond", "retry",  "revoke",
                                        "run",     "status", "submit", "work"};

embedded::Outcome run_csrq_at(const std::string& database_url, std::vector<std::string> words) {
  const fs::path config =
      write_file(fresh_folder() / "csrq.yaml", "database: { url: \"" + database_url + "\" }\n");
  words.insert(words.end(), {"--config", config});
  return run_csrq(words);
}

}  // namespace

TEST_CASE("--help and --version tell what there is, and a command's --help its options") {
  const embedded::Outcome help = run_csrq({"--help"});
  CHECK(help.exit_code == 0);
  CHECK(says(run_csrq({"--version"}).output, "csrq " CSRQ_VERSION));
  for (const std::string& command : commands) {
    CAPTURE(command);
    CHECK(says(help.output, "  " + command));
    const embedded::Outcome outcome = run_csrq({command, "--help"});
    CHECK(outcome.exit_code == 0);
    CHECK(says(outcome.output, "Usage: csrq " + command));
    CHECK(says(outcome.output, "--config"));
  }
}

TEST_CASE("what the command line does not know ends with 2 and is named") {
  const std::vector<std::pair<std::vector<std::string>, std::string>> mistakes{
      {{}, "name a command"},
      {{"isue"}, "there is no command \"isue\""},
      {{"status", "--domian", "x"}, "--domian"},
      {{"status", "--limit", "many"}, "--limit wants a positive number, not \"many\""},
      {{"status", "seven"}, "\"seven\" is not the ID of a request"},
      {{"retry"}, "say what to retry"},
      {{"retry", "1", "--everything"}, "say what to retry"},
      {{"retry", "1", "--class", "dns"}, "say what to retry"},
      {{"retry", "--domain", "a.example", "--customer", "acme"}, "say what to retry"},
      {{"retry", "1", "--spread", "long"}, "--spread wants a duration"},
      {{"revoke", "1", "--reason", "none"}, "--reason wants one of"},
      {{"chain"}, "name the ID"},
      {{"submit", "file"}, "--customer NAME is missing"},
      {{"work", "now"}, "unexpected argument \"now\""},
      {{"dev", "--config", "x.yaml"}, "a configuration of its own"},
  };
  for (const auto& [words, sentence] : mistakes) {
    const embedded::Outcome outcome = run_csrq(words);
    CHECK_MESSAGE(outcome.exit_code == 2, sentence);
    CHECK_MESSAGE(says(outcome.output, sentence), outcome.output);
  }
}

TEST_CASE("a configuration with a typo names file, line and the nearest key") {
  const fs::path config = write_file(fresh_folder() / "csrq.yaml", "worker:\n  theads: 4\n");
  const embedded::Outcome outcome = run_csrq({"status", "--config", config});
  CHECK(outcome.exit_code == 2);
  CHECK(says(outcome.output, config.string() + ":2: "));
  CHECK(says(outcome.output, "`threads`"));
}

TEST_CASE("without any configuration the places that were looked at are named") {
  const embedded::Outcome outcome = run_csrq({"status"});
  CHECK(outcome.exit_code == 2);
  CHECK(says(outcome.output, "/etc/csrq/csrq.yaml"));
}

TEST_CASE("a database that is down ends with 3") {
  const std::string url = "postgresql://nobody@127.0.0.1:" + std::to_string(embedded::free_port()) + "/csrq";
  for (const char* command : {"status", "migrate", "doctor"}) {
    CAPTURE(command);
    const embedded::Outcome outcome = run_csrq_at(url, {command});
    CHECK(outcome.exit_code == 3);
    CHECK_MESSAGE(says(outcome.output, "cannot reach the database"), outcome.output);
  }
}

TEST_CASE("a database URL that cannot be read ends with 2") {
  for (const char* url : {"postgresql://user:secret@[::1/csrq", "postgresql:///csrq?nonsense=1",
                          "postgresql://localhost:port/csrq", "postgresql:///%zz", "host", "host='x",
                          "postgresql:///csrq?sslmode=perhaps", "postgresql://a,b/?port=1,2,3"}) {
    CAPTURE(url);
    const embedded::Outcome outcome = run_csrq_at(url, {"status"});
    CHECK(outcome.exit_code == 2);
    CHECK_MESSAGE(says(outcome.output, "database.url"), outcome.output);
    CHECK_FALSE(says(outcome.output, "secret"));
  }
}

TEST_CASE("a database without the schema, or with a newer one, ends with 2 and the remedy") {
  const std::string url = empty_database_url();
  const embedded::Outcome missing = run_csrq_at(url, {"status"});
  CHECK(missing.exit_code == 2);
  CHECK(says(missing.output, "run `csrq migrate`"));
  CHECK(run_csrq_at(url, {"migrate", "--status"}).exit_code == 1);

  CHECK(run_csrq_at(url, {"migrate"}).exit_code == 0);
  CHECK(run_csrq_at(url, {"status"}).exit_code == 0);

  Sql(url).run("INSERT INTO csrq.schema_version (version, name) VALUES (9999, 'from the future')");
  for (const char* command : {"status", "migrate", "doctor"}) {
    CAPTURE(command);
    const embedded::Outcome newer = run_csrq_at(url, {command});
    CHECK(newer.exit_code == 2);
    CHECK_MESSAGE(says(newer.output, "install the csrq that migrated it"), newer.output);
  }
}

TEST_CASE("a schema from before 0.1.0 ends with 2 and the remedy") {
  const TestDatabase test;
  Sql(test.url()).run("UPDATE csrq.schema_version SET name = '0001_roles_and_customers' WHERE version = 1");
  const std::vector<std::vector<std::string>> calls{
      {"status"}, {"migrate"}, {"migrate", "--status"}, {"doctor"}, {"run"}};
  for (const std::vector<std::string>& command : calls) {
    CAPTURE(command.front());
    const embedded::Outcome refused = run_csrq_at(test.url(), command);
    CHECK(refused.exit_code == 2);
    CHECK_MESSAGE(says(refused.output, "DROP SCHEMA csrq CASCADE"), refused.output);
  }
}

TEST_CASE("migrate can be repeated, and --status says that nothing is pending") {
  const Installation installation;
  CHECK(installation({"migrate"}).exit_code == 0);
  CHECK(installation.json({"migrate"}) == nlohmann::json{{"applied", nlohmann::json::array()}});
  CHECK(installation({"migrate", "--status"}).exit_code == 0);
  CHECK(installation.json({"migrate", "--status"}).at("current") == true);
}

TEST_CASE("submit takes PEM, DER and standard input") {
  const Installation installation;
  const fs::path pem = write_file(installation.folder / "a.csr", make_csr("DNS:a.example"));
  const fs::path der = write_file(installation.folder / "b.csr", make_csr("DNS:b.example", true));
  const embedded::Outcome two = installation({"submit", pem, der, "--customer", "acme"});
  CHECK(two.exit_code == 0);
  CHECK(says(two.output, "a.csr: request 1\n"));
  CHECK(says(two.output, "b.csr: request 2\n"));
  const embedded::Outcome piped = run_csrq_reading(
      der, {"submit", "-", "--customer", "acme", "--reference", "x", "--config", installation.config});
  CHECK(piped.exit_code == 0);
  CHECK(says(piped.output, "-: request 3\n"));
  const nlohmann::json again = installation.json({"submit", pem, "--customer", "acme", "--reference", "x"});
  CHECK(again == nlohmann::json{{"file", pem}, {"id", 3}, {"created", false}});
}

TEST_CASE("submit refuses what is no CSR, names the file, and inserts nothing") {
  const Installation installation;
  const std::string good = make_csr("DNS:a.example");
  const std::vector<std::pair<std::string, std::string>> broken{
      {"text", "this is no CSR\n"},
      {"empty", ""},
      {"large", std::string(1 << 20, 'A')},
      {"nul", good.substr(0, 100) + std::string(5, '\0') + good.substr(100)},
      {"cut", good.substr(0, good.size() / 2)},
      {"two", good + good},
  };
  const fs::path fine = write_file(installation.folder / "fine", good);
  for (const auto& [name, octets] : broken) {
    const fs::path file = write_file(installation.folder / name, octets);
    const embedded::Outcome outcome = installation({"submit", fine, file, "--customer", "acme"});
    CHECK_MESSAGE(outcome.exit_code == 2, name);
    CHECK_MESSAGE(says(outcome.output, file.string() + ": "), outcome.output);
  }
  CHECK(installation({"submit", installation.folder / "missing", "--customer", "acme"}).exit_code == 2);
  CHECK(installation.json({"status"}).empty());
}

TEST_CASE("submit --replaces names the request whose place the new one takes") {
  const Installation installation;
  installation.submit("a.example");
  const auto file = write_file(installation.folder / "new", make_csr("DNS:a.example"));
  CHECK(installation({"submit", file, "--customer", "acme", "--replaces", "1"}).exit_code == 0);
  CHECK(installation.json({"status", "2"})[0]["replaces"] == 1);
  CHECK(says(installation({"status", "2"}).output, "request 1"));
  const embedded::Outcome unknown = installation({"submit", file, "--customer", "acme", "--replaces", "9"});
  CHECK(unknown.exit_code == 2);
  CHECK(says(unknown.output, "has no request 9 that another one could replace"));
  CHECK(installation({"submit", file, file, "--customer", "acme", "--replaces", "1"}).exit_code == 2);
}

TEST_CASE("submit --split counts a host name in the common name among the names") {
  const Installation installation;
  const std::string all = csr_pem(CsrRecipe{.names = {"a.example"}, .common_name = "b.example"});
  const std::string some = csr_pem(CsrRecipe{.common_name = "b.example"});
  const auto bundle =
      write_file(installation.folder / "bundle", "Both names:\n" + all + "One of them:\n" + some);
  CHECK(installation({"submit", bundle, "--split", "--customer", "acme"}).exit_code == 0);
  const auto twice = write_file(installation.folder / "twice", some + some);
  CHECK(says(installation({"submit", twice, "--split", "--customer", "acme"}).output,
             "is not for some of the names of the first one"));
}

TEST_CASE("submit --split takes several CSRs of a file: the others stand in for the first") {
  const Installation installation;
  const std::string all = make_csr("DNS:a.example,DNS:B.example");
  const std::string some = make_csr("DNS:b.example");
  const fs::path bundle = write_file(installation.folder / "bundle", all + some);
  const embedded::Outcome two =
      installation({"submit", bundle, "--split", "--customer", "acme", "--reference", "x"});
  CHECK_MESSAGE(two.exit_code == 0, two.output);
  CHECK(says(two.output, "bundle: request 1\n"));
  CHECK(says(two.output, "bundle: request 2, stands in for 1\n"));
  CHECK(Sql(installation.test.url()).value("SELECT split_of || reference FROM csrq.request WHERE id = 2") ==
        "1x/1");
  CHECK(says(installation({"submit", bundle, "--split", "--customer", "acme", "--reference", "x"}).output,
             "bundle: request 2, stands in for 1 (was there already)\n"));
  for (const auto& [octets, complaint] : std::vector<std::pair<std::string, std::string>>{
           {all, "--split wants several CSRs"},
           {some + all, "CSR 2 is not for some of the names"},
           {all + all, "CSR 2 is not for some of the names"},
           {all + "-----BEGIN PRIVATE KEY-----\nMA==\n-----END PRIVATE KEY-----\n", "PRIVATE KEY"},
           {"", "--split wants several CSRs"}}) {
    const fs::path file = write_file(installation.folder / "broken", octets);
    const embedded::Outcome refused = installation({"submit", file, "--split", "--customer", "acme"});
    CHECK(refused.exit_code == 2);
    CHECK_MESSAGE(says(refused.output, complaint), refused.output);
  }
}

TEST_CASE("status --csv: the names of csrq.status, then a record for each row") {
  const Installation installation;
  installation.submit("a.example");
  const embedded::Outcome csv = installation({"status", "--csv"});
  CHECK(csv.exit_code == 0);
  CHECK(csv.output.starts_with("id,customer,names,state,attempts,failures,days_left,next_attempt_at,"));
  CHECK(says(csv.output, "\r\n1,acme,"));
  CHECK(installation({"status", "--csv", "--json"}).exit_code == 2);
  CHECK(installation({"status", "1", "--csv", "--history"}).exit_code == 2);
}

TEST_CASE("status, chain, cancel and retry tell people and programs the same") {
  const Installation installation;
  installation.submit("a.example");
  const nlohmann::json line = installation.json({"status", "1"}).at(0);
  CHECK(line.at("id") == 1);
  CHECK(line.at("customer") == "acme");
  CHECK(line.at("state") == "pending");
  CHECK(line.at("error").is_null());
  CHECK(says(installation({"status"}).output, "in all: 1 pending"));

  const embedded::Outcome none = installation({"chain", "1"});
  CHECK(none.exit_code == 1);
  CHECK(says(none.output, "has no chain (yet)"));
  CHECK(installation({"status", "99"}).exit_code == 1);
  CHECK(installation({"chain", "99"}).exit_code == 1);

  CHECK(installation.json({"retry", "1"}).contains("rows"));
  CHECK(installation.json({"cancel", "1"}).at("id") == 1);
  CHECK(installation.json({"status", "1"}).at(0).at("state") == "cancelled");
}

TEST_CASE("of several requests each is acted on, and each that is refused is named with exit code 1") {
  const Installation installation;
  installation.submit("a.example");
  installation.submit("b.example");
  for (const char* command : {"renew", "revoke", "cancel"}) {
    CAPTURE(command);
    const embedded::Outcome outcome = installation({command, "99", "1"});
    CHECK(outcome.exit_code == 1);
    CHECK_MESSAGE(says(outcome.output, "csrq: request 99: there is no request 99 that login"),
                  outcome.output);
    CHECK_MESSAGE(says(outcome.output, "request 1: "), outcome.output);
  }
  CHECK(installation.json({"status", "1"}).at(0).at("state") == "cancelled");

  const embedded::Outcome json = installation({"cancel", "99", "2", "--json"});
  CHECK(json.exit_code == 1);
  const std::size_t end = json.output.find('\n');
  CHECK(nlohmann::json::parse(json.output.substr(0, end)).contains("error"));
  CHECK(nlohmann::json::parse(json.output.substr(end)) ==
        nlohmann::json{{"id", 2}, {"outcome", "cancelled"}});
  CHECK(installation({"cancel", "99"}).exit_code == 1);
}

TEST_CASE("retry says how many rows it takes, when the first and the last go, and what the CA holds back") {
  const Installation installation;
  Sql sql(installation.test.url());
  const auto wait = [&](const std::string& rows) {
    sql.run("INSERT INTO csrq.request (customer, csr) SELECT 'acme', 'x' FROM generate_series(1, " + rows +
            ")");
    sql.run("UPDATE csrq.job SET run_at = now() + interval '1 hour'");
  };
  CHECK(says(installation({"retry", "--everything"}).output, "no row was waiting"));
  wait("1");
  CHECK(says(installation({"retry", "1"}).output, "1 row will be tried again now"));
  wait("2");
  CHECK(says(installation({"retry", "--customer", "acme"}).output, "3 rows will be tried again, all now"));
  wait("0");
  CHECK(says(installation({"retry", "--everything", "--spread", "3h"}).output,
             "3 rows will be tried again, the first now, the last at 20"));
  wait("0");
  sql.run("UPDATE csrq.request SET error = '{\"class\": \"validation\", \"code\": \"dns\"}' WHERE id = 2");
  CHECK(installation.json({"retry", "--class", "validation", "--customer", "acme"}).at("rows") == 1);
  CHECK(installation.json({"retry", "--code", "caa"}).at("rows") == 0);
  CHECK(says(installation({"retry", "--class", "dns"}).output, "there is no failure class \"dns\""));

  store::Database database({.url = installation.test.url()});
  const auto account = store::find_or_create_account(database, some_owner(), some_key('a')).id;
  store::write_hold(
      database,
      {.directory = some_owner().directory, .account = account, .limit = {.scope = LimitScope::account}},
      std::chrono::hours(3), some_failure(FailureClass::limited));
  wait("0");
  CHECK(says(installation({"retry", "--everything"}).output,
             "3 of them wait for a limit of the CA, which csrq cannot end, until 20"));
  wait("0");
  CHECK(installation.json({"retry", "--everything"}).at("limited") == 3);
}

TEST_CASE("limits forget: a wait is ended, what there is not ends with 1, what is not said with 2") {
  const Installation installation;
  Sql sql(installation.test.url());
  const auto hold = [&](const std::string& scope, const std::string& key) {
    sql.run(
        "INSERT INTO csrq.rate_hold (directory, scope, key, until, error) VALUES ('https://127.0.0.1:1/dir', "
        "'" +
        scope + "', '" + key + "', now() + interval '1 day', '{}')");
  };
  for (const std::vector<std::string>& words : {std::vector<std::string>{"forget"},
                                                {"forget", "account"},
                                                {"forget", "account", "1", "--all"},
                                                {"forget", "galaxy", "x"},
                                                {"forget", "--all", "--customer", "acme"},
                                                {"--all"},
                                                {"remember"}}) {
    std::vector<std::string> command{"limits"};
    command.insert(command.end(), words.begin(), words.end());
    CAPTURE(words.back());
    CHECK(installation(command).exit_code == 2);
  }
  const embedded::Outcome nothing = installation({"limits", "forget", "account", "1"});
  CHECK(nothing.exit_code == 1);
  CHECK(says(nothing.output, "no CA has asked to wait there"));
  hold("account", "1");
  hold("identifier", "1 www.example.org");
  hold("ca", "");
  const embedded::Outcome one = installation({"limits", "forget", "account", "1"});
  CHECK(one.exit_code == 0);
  CHECK(one.output == "1 wait or learnt limit is forgotten; 0 rows look again\n");
  CHECK(installation({"limits", "forget", "identifier", "1", "www.example.org"}).exit_code == 0);
  CHECK(installation({"limits", "forget", "ca", "https://elsewhere.example/dir"}).exit_code == 1);
  CHECK(installation.json({"limits", "forget", "--all"}) ==
        nlohmann::json{{"forgotten", 1}, {"rows", 0}, {"last_at", nullptr}});
}

TEST_CASE("limits: nothing known is said; a line for each limit; programs get numbers") {
  const Installation installation;
  CHECK(installation({"limits"}).output == "no limit is known, and no CA has asked to wait\n");
  Sql(installation.test.url())
      .run(
          "INSERT INTO csrq.rate_limit (directory, name, burst, period, renewals) "
          "VALUES ('https://127.0.0.1:1/dir', 'new_orders_per_account', 300, '3 hours', 'exempt')");
  const embedded::Outcome table = installation({"limits"});
  CHECK(table.exit_code == 0);
  CHECK(says(table.output, "new_orders_per_account  (each)  300 per 03:00:00  300"));
  const auto lines = installation.json({"limits"});
  REQUIRE(lines.size() == 1);
  CHECK(lines[0]["burst"] == 300);
  CHECK(lines[0]["left"] == 300);
  CHECK(lines[0]["waiting"] == 0);
  CHECK(lines[0]["renewals"] == "exempt");
  CHECK(lines[0]["held_until"].is_null());
  CHECK(lines[0]["binds_renewals"].is_null());
}

TEST_CASE("chain prints an issued chain as it is") {
  const Installation installation;
  installation.submit("a.example");
  store::Database database({.url = installation.test.url()});
  const auto worker = store::worker_start(database, "host", 1, "test");
  const auto claim = store::claim(database, worker, 1, lease).at(0);
  const auto account = store::find_or_create_account(database, some_owner(), some_key('a'));
  const auto order = store::open_order(database, claim.fence, account.id, {"a.example"}, {}).order.value().id;
  REQUIRE(store::record_order(database, claim.fence, Store::order_record(order, "https://ca.example/1")));
  const store::Issued issued = Store::issued(order, "01");
  REQUIRE(store::complete(database, claim.fence, issued));
  CHECK(installation({"chain", "1"}).output == issued.chain);
  CHECK(installation.json({"chain", "1"}) == nlohmann::json{{"id", 1}, {"chain", issued.chain}});
}

TEST_CASE("keygen makes a file of mode 0600 and never overwrites one") {
  const fs::path file = fresh_folder() / "sealing.key";
  CHECK(run_csrq({"keygen", file}).exit_code == 0);
  CHECK(fs::status(file).permissions() == (fs::perms::owner_read | fs::perms::owner_write));
  const std::string key = read_file(file);
  CHECK(run_csrq({"keygen", file}).exit_code == 2);
  CHECK(read_file(file) == key);
}
