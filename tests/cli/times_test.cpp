#include <doctest/doctest.h>

#include <regex>

#include "cli/cli_fixture.hpp"

using namespace csrq;
using namespace csrq::test;

namespace {

/// Where whoever sets up the server has chosen to read times in a way of his own.
struct OddInstallation : Installation {
  OddInstallation() {
    Sql sql(test.url());
    const std::string name = sql.value("SELECT current_database()");
    sql.run("ALTER DATABASE " + name + " SET TimeZone = 'Asia/Kathmandu'");
    sql.run("ALTER DATABASE " + name + " SET DateStyle = 'German, DMY'");
    sql.run("ALTER DATABASE " + name + " SET IntervalStyle = 'iso_8601'");
    REQUIRE(Sql(test.url()).value("SELECT timestamptz '2026-11-30T00:00:00Z'") ==
            "30.11.2026 05:45:00 +0545");
  }
};

/// How many times stand in the document. Each is to be RFC 3339 in UTC.
std::size_t times_in(const nlohmann::json& document) {
  static const std::regex utc("[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?Z");
  static const std::regex time_of_day("[0-9]{2}:[0-9]{2}:[0-9]{2}");
  if (document.is_structured()) {
    std::size_t times = 0;
    for (const nlohmann::json& element : document) times += times_in(element);
    return times;
  }
  const std::string text = document.is_string() ? document.get<std::string>() : std::string();
  if (!std::regex_search(text, time_of_day)) return 0;
  CHECK_MESSAGE(std::regex_match(text, utc), text);
  return 1;
}

}  // namespace

TEST_CASE("JSON: every time is RFC 3339 in UTC, whatever time zone and style the database has set") {
  const OddInstallation installation;
  Sql sql(installation.test.url());
  const auto times_of = [&](const std::vector<std::string>& words) {
    CAPTURE(words.front());
    return times_in(installation.json(words));
  };
  installation.submit("a.example");

  SUBCASE("a request and its history") {
    sql.run(
        "UPDATE csrq.request SET status = 'issued', serial = '01', chain = '-----BEGIN CERTIFICATE-----', "
        "renew_at = now(), not_before = now() - interval '80 days', not_after = now() + interval '1 day'");
    sql.run("UPDATE csrq.job SET run_at = now() + interval '1 day'");
    sql.run("SELECT csrq.retry(1)");
    CHECK(times_of({"status", "1", "--history"}) >= 7);
    sql.run("UPDATE csrq.job SET run_at = now() + interval '1 day'");
    CHECK(times_of({"retry", "1"}) >= 2);
  }
  SUBCASE("alarms and messages") {
    sql.run("SELECT csrq.raise_alarm('name:x', 'name_paused', 'a pause', NULL, NULL, NULL)");
    sql.run("SELECT csrq.make_test_notification(NULL, ARRAY['mail'])");
    CHECK(times_of({"notify"}) >= 3);
    CHECK(times_in(nlohmann::json::parse(sql.value("SELECT payload FROM csrq.notification"))) == 1);
  }
  SUBCASE("limits") {
    sql.run(
        "INSERT INTO csrq.rate_hold (directory, scope, key, until, error) "
        "VALUES ('https://127.0.0.1:1/dir', 'ca', '', now() + interval '1 day', '{}')");
    CHECK(times_of({"limits"}) >= 1);
  }
  SUBCASE("authorizations") {
    sql.run(
        "WITH account AS (INSERT INTO csrq.acme_account (ca, directory, policy, owner) "
        "VALUES ('ca', 'https://ca.example/dir', 'shared', '') RETURNING id) "
        "INSERT INTO csrq.acme_authorization (account_id, url, customer, identifier, expires_at) "
        "SELECT id, 'https://ca.example/1', 'acme', 'a.example', now() + interval '1 hour' FROM account");
    CHECK(times_of({"authz", "list"}) >= 2);
  }
  SUBCASE("incidents") {
    sql.run("INSERT INTO csrq.incident (issued_before, deadline) VALUES (now(), now() + interval '1 day')");
    CHECK(times_of({"renewals", "incidents"}) >= 3);
  }
  SUBCASE("days") {
    const std::string day = installation.json({"renewals", "plan"}).at(0).at("day");
    CHECK(std::regex_match(day, std::regex("[0-9]{4}-[0-9]{2}-[0-9]{2}")));
  }
}
