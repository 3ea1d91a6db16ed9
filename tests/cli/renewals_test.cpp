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
