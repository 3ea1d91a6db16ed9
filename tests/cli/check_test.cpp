#include <doctest/doctest.h>

#include <algorithm>

#include "cli/cli_fixture.hpp"

using namespace csrq;
using namespace csrq::test;

namespace {

struct Monitored : Installation {
  Sql sql{test.url()};

  void worker_lives() { sql.run("SELECT csrq.worker_start('host', 1, 'test')"); }
  void ending(const std::string& left) {
    submit("late.example");
    sql.run(
        "UPDATE csrq.request SET status = 'issued', serial = '01', chain = '-----BEGIN CERTIFICATE-----', "
        "names = '{late.example}', not_before = now() - interval '80 days', not_after = now() + interval '" +
        left + "'");
    sql.run("UPDATE csrq.job SET kind = 'renew', lane = 2, run_at = now() + interval '1 hour'");
  }
  embedded::Outcome check(std::vector<std::string> words = {}) const {
    words.insert(words.begin(), "check");
    return (*this)(words);
  }
};

}  // namespace

TEST_CASE("check: one line with performance data, and the exit codes of a monitoring plugin") {
  Monitored monitored;
  SUBCASE("all is well") {
    monitored.worker_lives();
    const embedded::Outcome outcome = monitored.check();
    CHECK(outcome.exit_code == 0);
    CHECK(outcome.output ==
          "CSRQ OK - 0 rows are due, 1 worker is alive | ending_critical=0;;0;0 ending_warning=0;0;;0 "
          "need_person=0;0;;0 workers=1;;;0 due=0;;;0 oldest_due=0s;21600;172800;0\n");
  }
  SUBCASE("a certificate ends within --warning") {
    monitored.worker_lives();
    monitored.ending("10 days");
    const embedded::Outcome outcome = monitored.check();
    CHECK(outcome.exit_code == 1);
    CHECK(says(outcome.output,
               "CSRQ WARNING - 1 certificate ends soon and is not renewed, the first late.example of "
               "acme (request 1) at "));
    CHECK(monitored.check({"--warning", "9d"}).exit_code == 0);
    CHECK(monitored.json({"check"})["ending_warning"]["certificates"] == 1);
  }
  SUBCASE("a certificate ends within --critical") {
    monitored.worker_lives();
    monitored.ending("2 days");
    CHECK(monitored.check().exit_code == 2);
    CHECK(monitored.check({"--critical", "1d"}).exit_code == 1);
  }
  SUBCASE("no worker is alive, unless rows are worked on from a timer") {
    const embedded::Outcome outcome = monitored.check();
    CHECK(outcome.exit_code == 2);
    CHECK(outcome.output.starts_with("CSRQ CRITICAL - no worker is alive | "));
    CHECK(monitored.check({"--timer"}).exit_code == 0);
  }
  SUBCASE("rows have been due for long") {
    monitored.worker_lives();
    monitored.submit("a.example");
    monitored.sql.run("UPDATE csrq.job SET run_at = now() - interval '7 hours'");
    const embedded::Outcome outcome = monitored.check();
    CHECK(outcome.exit_code == 1);
    CHECK(says(outcome.output, "the oldest due row has waited for 7h"));
    CHECK(monitored.check({"--due-critical", "6.5h"}).exit_code == 2);
  }
}

TEST_CASE(
    "check: each open alarm is there, and those that stop a whole CA, account or machine are CRITICAL") {
  Monitored monitored;
  monitored.worker_lives();
  const auto raise = [&](const std::string& key, const std::string& code) {
    monitored.sql.run("SELECT csrq.raise_alarm('" + key + "', '" + code + "', 'a sentence')");
  };
  raise("name:https://ca.example/dir z.example", "name_paused");
  const embedded::Outcome paused = monitored.check();
  CHECK(paused.exit_code == 1);
  CHECK(says(paused.output, "CSRQ WARNING - alarm name:https://ca.example/dir z.example | "));
  const auto document = monitored.json({"check"});
  CHECK(document["text"] == "alarm name:https://ca.example/dir z.example");
  CHECK(document["alarms"] == nlohmann::json::array({{{"key", "name:https://ca.example/dir z.example"},
                                                      {"code", "name_paused"},
                                                      {"detail", "a sentence"}}}));
  SUBCASE("an account") {
    raise("account:https://ca.example/dir acme", "userActionRequired");
    CHECK(monitored.check().exit_code == 2);
  }
  SUBCASE("a sealing key") {
    raise("sealing_key:host", "sealed_key");
    CHECK(monitored.check().exit_code == 2);
  }
  SUBCASE("a CA out of reach") {
    raise("ca:https://ca.example/dir", "ca_out_of_reach");
    CHECK(monitored.check().exit_code == 2);
  }
  SUBCASE("one that is over is not there") {
    monitored.sql.run("SELECT csrq.clear_alarm('name:https://ca.example/dir z.example')");
    CHECK(monitored.check().exit_code == 0);
  }
  SUBCASE("more than twenty are counted, and all are in the document") {
    for (int i = 0; i < 25; ++i) raise("name:x n" + std::to_string(i), "name_paused");
    CHECK(says(monitored.check().output, "; 6 more alarms, see csrq.alarms | "));
    CHECK(monitored.json({"check"})["alarms"].size() == 26);
  }
  SUBCASE("another customer's is not this one's") {
    monitored.sql.run("SELECT csrq.clear_alarm('name:https://ca.example/dir z.example')");
    monitored.sql.run("INSERT INTO csrq.customer (name) VALUES ('acme'), ('other')");
    monitored.sql.run("SELECT csrq.raise_alarm('account:x other', 'y', 'z', 'x', 'other')");
    CHECK(monitored.check({"--customer", "acme"}).exit_code == 0);
    CHECK(monitored.check({"--customer", "other"}).exit_code == 2);
  }
}

TEST_CASE("check: what keeps it from looking is UNKNOWN, on standard output, in one line") {
  Monitored monitored;
  for (const std::vector<std::string>& words : {std::vector<std::string>{"--warnin", "3d"},
                                                {"--warning", "soon"},
                                                {"--warning", "1d"},
                                                {"stray"},
                                                {"--customer", "nobody | x=1"}}) {
    CAPTURE(words.front());
    const embedded::Outcome outcome = monitored.check(words);
    CHECK(outcome.exit_code == 3);
    CHECK(outcome.output.starts_with("CSRQ UNKNOWN - "));
    CHECK(std::ranges::count(outcome.output, '\n') == 1);
    CHECK(!says(outcome.output, "|"));
  }
  CHECK(run_csrq({"check", "--config", "/nowhere.yaml"}).exit_code == 3);
  CHECK(run_csrq({"check", "--help"}).exit_code == 0);
}

TEST_CASE("check: what apps wrote cannot end the line or begin performance data") {
  Monitored monitored;
  monitored.worker_lives();
  monitored.ending("2 days");
  monitored.sql.run("UPDATE csrq.request SET names = ARRAY[E'a|b\nc']");
  const embedded::Outcome outcome = monitored.check();
  CHECK(outcome.exit_code == 2);
  CHECK(std::ranges::count(outcome.output, '\n') == 1);
  CHECK(std::ranges::count(outcome.output, '|') == 1);
}
