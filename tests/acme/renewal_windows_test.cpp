#include <doctest/doctest.h>

#include "config/config.hpp"
#include "renewals/issuers.hpp"
#include "store/incidents.hpp"
#include "support/issuing_fixture.hpp"
#include "workers/renewer.hpp"

using namespace std::chrono_literals;
using namespace csrq;
using namespace csrq::test;
using Kind = StubRequest;

namespace {

void offer_renewal_info(StubIssuing& world) {
  world.stub.change([](StubBehaviour& ca) { ca.offers_renewal_info = true; });
}

/// The window of whatever certificate, from now.
void move_windows(StubIssuing& world, Duration start, Duration end) {
  world.stub.change([=](StubBehaviour& ca) {
    ca.edit_renewal_info = [=](nlohmann::json& info) {
      info["suggestedWindow"] = {{"start", to_rfc3339(now() + start)}, {"end", to_rfc3339(now() + end)}};
    };
  });
}

renewals::WindowsTally ask(StubIssuing& world) {
  world.sql.run("UPDATE csrq.renewal_info SET check_at = now() - interval '1 second'");
  TestWorker& worker = world.worker();
  return workers::Renewer(worker.config.renewal, worker.database, worker.cas).round([] { return false; });
}

double hours_until(StubIssuing& world, const std::string& what) {
  return std::stod(
      world.sql.value("SELECT extract(epoch FROM " + what +
                      " - now()) / 3600 FROM csrq.renewal_info JOIN csrq.renewal n USING (request_id)"));
}

}  // namespace

TEST_CASE("ARI: the renewal is planned in the window that the CA suggests") {
  StubIssuing world;
  offer_renewal_info(world);
  world.submit({"a.example"});
  REQUIRE(world.run().issued == 1);
  const renewals::WindowsTally tally = ask(world);
  CHECK(tally.asked == 1);
  CHECK(tally.moved == 1);
  CHECK(world.count(
            "renewal_info WHERE renew_at BETWEEN window_start AND window_end AND window_end - window_start = "
            "interval '1 day'") == "1");
  CHECK(world.count("renewal n JOIN csrq.renewal_info i USING (request_id) WHERE n.renew_at = i.renew_at AND "
                    "n.deadline = i.window_end") == "1");
  // Not before the CA's six hours are over, whoever looks.
  CHECK(world.count("renewal_info WHERE check_at > now() + interval '5 hours 59 minutes'") == "1");
}

TEST_CASE("ARI: a window that moves takes the renewal along, one that is past makes it due now") {
  StubIssuing world;
  offer_renewal_info(world);
  const auto id = world.submit({"a.example"});
  REQUIRE(world.run().issued == 1);
  ask(world);
  const std::string serial = world.row(id).serial;
  move_windows(world, 24h * 5, 24h * 6);
  CHECK(ask(world).moved == 1);
  CHECK(hours_until(world, "n.renew_at") > 24 * 5 - 1);
  CHECK(hours_until(world, "n.renew_at") < 24 * 6 + 1);
  CHECK(world.run().issued == 0);
  move_windows(world, -24h, -1h);
  CHECK(ask(world).moved == 1);
  CHECK(world.run().issued == 1);
  CHECK(world.row(id).serial != serial);
}

TEST_CASE("ARI: a CA that always says now has a certificate renewed once, then not within a day") {
  StubIssuing world;
  offer_renewal_info(world);
  world.submit({"a.example"});
  REQUIRE(world.run().issued == 1);
  move_windows(world, -24h, -1h);
  ask(world);
  CHECK(world.run().issued == 1);
  ask(world);
  CHECK(world.run().issued == 0);
  CHECK(hours_until(world, "n.renew_at") > 23);
}

TEST_CASE("ARI: absurd windows and other nonsense leave the rule, and are asked about again in some hours") {
  for (const auto& [start, end] : {std::pair<Duration, Duration>{24h * 100, 24h * 101},
                                   {24h * 7000, 24h * 7300},
                                   {48h, 24h},
                                   {-24h * 7300, -24h * 7000}}) {
    StubIssuing world;
    offer_renewal_info(world);
    world.submit({"a.example"});
    REQUIRE(world.run().issued == 1);
    move_windows(world, start, end);
    const renewals::WindowsTally tally = ask(world);
    CHECK(tally.failed == 1);
    CHECK(tally.moved == 0);
    CHECK(hours_until(world, "n.renew_at") > 24 * 50);
    CHECK(hours_until(world, "check_at") > 0.2);
    CHECK(hours_until(world, "check_at") < 6.3);
    CHECK(world.count("renewal_info WHERE window_start IS NULL AND error IS NOT NULL") == "1");
  }
}

TEST_CASE("ARI: a window that reaches beyond the certificate's end leaves time for tries that fail") {
  StubIssuing world;
  offer_renewal_info(world);
  world.submit({"a.example"});
  REQUIRE(world.run().issued == 1);
  move_windows(world, 24h * 89, 24h * 20000);
  CHECK(ask(world).moved == 1);
  CHECK(hours_until(world, "n.renew_at") < 24 * 81);
}

TEST_CASE("ARI: a CA that answers nothing is left in peace, and stops nobody") {
  StubIssuing world;
  offer_renewal_info(world);
  for (int i = 0; i < 40; ++i) world.submit({"n" + std::to_string(i) + ".example"});
  REQUIRE(world.run().issued == 40);
  world.stub.fail_next(Kind::renewal_info, faults::cut_before(), 1000);
  const renewals::WindowsTally tally = ask(world);
  CHECK(tally.asked == 0);
  // Two in a row, on several threads, and what a transport repeats.
  CHECK(world.stub.requests(Kind::renewal_info) < 40);
  CHECK(world.count("renewal_info WHERE check_at > now()") == "40");
  world.submit({"more.example"});
  CHECK(world.run().issued == 1);
}

TEST_CASE("ARI: a CA that asks to wait is not asked again before then") {
  StubIssuing world;
  offer_renewal_info(world);
  for (int i = 0; i < 20; ++i) world.submit({"n" + std::to_string(i) + ".example"});
  REQUIRE(world.run().issued == 20);
  world.stub.fail_next(Kind::renewal_info, faults::status(429, "7200"), 1000);
  TestWorker& worker = world.worker();
  workers::Renewer renewer(worker.config.renewal, worker.database, worker.cas);
  world.sql.run("UPDATE csrq.renewal_info SET check_at = now() - interval '1 second'");
  renewer.round([] { return false; });
  CHECK(world.stub.requests(Kind::renewal_info) <= 8);
  CHECK(world.count("renewal_info WHERE check_at > now() + interval '1 hour 59 minutes' AND failures = 0") ==
        "20");
}

TEST_CASE("ARI: whoever offers none, or has it switched off, is not asked") {
  StubIssuing world;
  world.submit({"a.example"});
  REQUIRE(world.run().issued == 1);
  ask(world);
  CHECK(world.count("renewal_info WHERE check_at > now() + interval '6 days' AND error IS NULL") == "1");

  StubIssuing off;
  offer_renewal_info(off);
  off.config.renewal.ari = false;
  const auto id = off.submit({"a.example"});
  REQUIRE(off.run().issued == 1);
  ask(off);
  CHECK(off.stub.requests(Kind::renewal_info) == 0);
  REQUIRE(store::renew(off.database, id));
  CHECK(off.run().issued == 1);
  CHECK(off.stub.orders().at(1).replaces.empty());
}

TEST_CASE("an incident: the issuing CA is known by its name, and all its certificates are renewed") {
  StubIssuing world;
  offer_renewal_info(world);
  world.submit({"a.example"});
  world.submit({"b.example"});
  REQUIRE(world.run().issued == 2);
  ask(world);
  const std::string issuer = world.sql.value("SELECT issuer FROM csrq.issuer_chain");
  CHECK(!issuer.empty());
  store::open_incident(world.database, {.issuer = issuer}, now() + 24h);
  ask(world);  // any worker fills it
  CHECK(world.run().issued == 2);
  const auto line = store::incidents(world.database).at(0);
  CHECK(line.done == 2);
  CHECK(line.left == 0);
}
