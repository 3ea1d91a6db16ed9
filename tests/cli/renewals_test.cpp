#include <doctest/doctest.h>

#include <algorithm>

#include "cli/cli_fixture.hpp"

using namespace csrq;
using namespace csrq::test;

namespace {

/// A spike of so many renewals in ten days' time.
void plan_renewals(const Installation& installation, int count) {
  Sql sql(installation.test.url());
  sql.run("INSERT INTO csrq.request (customer, csr) SELECT 'acme', '" + some_csr +
          "' FROM generate_series(1, " + std::to_string(count) + ")");
  sql.run(
      "UPDATE csrq.request SET status = 'issued', serial = '01', chain = '-----BEGIN CERTIFICATE-----', "
      "renew_at = now() + "
      "interval '10 days', not_before = now() - interval '50 days', not_after = now() + interval '40 days'");
  sql.run("DELETE FROM csrq.job");
  sql.run("INSERT INTO csrq.renewal (request_id, renew_at) SELECT id, renew_at FROM csrq.request");
}

}  // namespace

TEST_CASE("renewals plan: bars, JSON, SVG") {
  const Installation installation;
  CHECK(installation({"renewals", "plan"}).output == "no renewals are planned for the next 60 days\n");
  plan_renewals(installation, 12);
  const embedded::Outcome bars = installation({"renewals", "plan", "--days", "14"});
  CHECK(bars.exit_code == 0);
  CHECK(std::ranges::count(bars.output, '\n') == 15);
  CHECK(says(bars.output, "  12  ####"));
  CHECK(says(bars.output, "12 renewals in 14 days; the heaviest day has 12 on 20"));
  const auto days = installation.json({"renewals", "plan"});
  REQUIRE(days.size() == 60);
  CHECK(days[10]["renewals"] == 12);
  const embedded::Outcome svg = installation({"renewals", "plan", "--svg"});
  CHECK(svg.output.starts_with("<svg xmlns="));
  CHECK(svg.output.ends_with("</svg>\n"));
  CHECK(says(svg.output, ": 12</title>"));
}

TEST_CASE("renewals spread: before and after; a dry run changes nothing; a second run moves nothing") {
  const Installation installation;
  plan_renewals(installation, 12);
  const auto dry = installation.json({"renewals", "spread", "--days", "3", "--dry-run"});
  CHECK(dry["heaviest_before"] == 12);
  CHECK(dry["heaviest_after"] == 3);
  CHECK(dry["moved"] == 9);
  CHECK(installation.json({"renewals", "plan"})[10]["renewals"] == 12);
  const embedded::Outcome moved = installation({"renewals", "spread", "--days", "3"});
  CHECK(moved.exit_code == 0);
  CHECK(says(moved.output, "9 renewals moved ahead; the heaviest day: 12 on 20"));
  const auto days = installation.json({"renewals", "plan"});
  CHECK(days == installation.json({"renewals", "plan"}));
  CHECK(days[7]["renewals"] == 3);
  CHECK(days[7]["moved"] == 3);
  CHECK(days == dry["days"]);
  CHECK(installation({"renewals", "spread", "--days", "3"}).output ==
        "nothing to move: the load is as level as it can be\n");
}

TEST_CASE("renewals: what is missing or out of range is said") {
  const Installation installation;
  for (const std::vector<std::string>& words : {std::vector<std::string>{"renewals"},
                                                {"renewals", "spread"},
                                                {"renewals", "spread", "--days", "91"},
                                                {"renewals", "plan", "--days", "1001"},
                                                {"renewals", "plan", "--dry-run"},
                                                {"renewals", "spread", "--days", "3", "--svg"}}) {
    CHECK(installation(words).exit_code == 2);
  }
}

TEST_CASE("run --renewals leaves rows alone that are no renewals") {
  const Installation installation;
  installation.submit("a.example");
  const embedded::Outcome outcome = installation({"run", "--renewals"});
  CHECK(outcome.output == "nothing was due\n");
  CHECK(outcome.exit_code == 0);
  CHECK(Sql(installation.test.url()).value("SELECT status || ' ' || attempt FROM csrq.job") == "ready 0");
}

TEST_CASE("renew --issuer: an incident; a dry run counts only; its progress is shown") {
  const Installation installation;
  Sql sql(installation.test.url());
  CHECK(installation({"renewals", "incidents"}).output == "there has been no incident\n");
  plan_renewals(installation, 3);
  sql.run(
      "INSERT INTO csrq.acme_account (ca, directory, policy, owner) VALUES ('ca', 'https://ca.example/dir', "
      "'shared', '')");
  sql.run(
      "INSERT INTO csrq.issuer_chain (sha256, chain, issuer) VALUES (sha256('a'), '-----BEGIN "
      "CERTIFICATE-----', 'R11')");
  sql.run("UPDATE csrq.request SET serial = to_hex(id)");
  sql.run(
      "INSERT INTO csrq.certificate (request_id, account_id, issuer_chain_id, not_before, not_after, "
      "customer, serial, "
      "der) SELECT r.id, a.id, h.id, r.not_before, r.not_after, r.customer, r.serial, '\\x30' FROM "
      "csrq.request r, csrq.acme_account a, csrq.issuer_chain h");

  const auto dry = installation.json({"renew", "--issuer", "R11", "--dry-run"});
  CHECK(dry["renewals"] == 3);
  CHECK(sql.value("SELECT count(*) FROM csrq.incident") == "0");

  const embedded::Outcome opened = installation({"renew", "--issuer", "R11", "--by", "2100-01-01"});
  CHECK(opened.exit_code == 0);
  CHECK(says(opened.output, "3 renewals are due now"));
  CHECK(sql.value("SELECT count(*) FROM csrq.renewal WHERE renew_at <= now() AND deadline = "
                  "'2100-01-01T00:00:00Z'") == "3");

  sql.run("UPDATE csrq.incident_request SET done_at = now() WHERE request_id = 1");
  const auto incidents = installation.json({"renewals", "incidents"});
  REQUIRE(incidents.size() == 1);
  CHECK(incidents[0]["issuer"] == "R11");
  CHECK(incidents[0]["renewals"] == 3);
  CHECK(incidents[0]["done"] == 1);
  CHECK(incidents[0]["left"] == 2);
  CHECK(incidents[0]["customer"].is_null());
  CHECK(incidents[0]["is_complete"] == true);
  CHECK(!incidents[0]["estimated_end"].is_null());
  const embedded::Outcome table = installation({"renewals", "incidents"});
  CHECK(says(table.output, "by R11, issued before"));
  CHECK(says(table.output, "2100-01-01 00:00:00"));
  sql.run("INSERT INTO csrq.incident (directory) VALUES ('https://ca.example/dir')");
  CHECK(says(installation({"renewals", "incidents"}).output,
             "windows moved into the past by https://ca.example/dir"));
  const auto second =
      installation.json({"renew", "--all-issued-before", "2100-01-01T00:00:00Z", "--customer", "acme"});
  CHECK(second["renewals"] == 3);
  CHECK(second["customer"] == "acme");
}

TEST_CASE("renew --issuer: what there is none of, or cannot be read, is said") {
  const Installation installation;
  const embedded::Outcome unknown = installation({"renew", "--issuer", "R99"});
  CHECK(unknown.exit_code == 2);
  CHECK(says(unknown.output, "R99"));
  CHECK(says(installation({"renew", "--all-issued-before", "yesterday"}).output, "wants a time such as"));
  CHECK(installation({"renew", "--all-issued-before", "2026-01-01", "--customer", "nobody"}).exit_code == 2);
  CHECK(installation({"renew", "--issuer", "R11", "7"}).exit_code == 2);
  CHECK(installation({"renew", "7", "--by", "2026-01-01"}).exit_code == 2);
  CHECK(installation({"renewals", "incidents", "--days", "3"}).exit_code == 2);
}
