#include <doctest/doctest.h>

#include <thread>

#include "config/config.hpp"
#include "support/issuing_fixture.hpp"

using namespace std::chrono_literals;
using namespace csrq;
using namespace csrq::test;
using cas::PollPace;
using Kind = StubRequest;

namespace {

/// Looks until it is so, for as long as csrq may take to hear of a retry.
bool comes_about(const std::function<bool()>& is_so, Duration within = 5s) {
  const auto until = std::chrono::steady_clock::now() + within;
  while (!is_so()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(10ms);
  }
  return true;
}

std::int64_t retry(StubIssuing& world, store::RequestId id) {
  return store::retry(world.database, {.id = id});
}

int responses(const StubIssuing& world) {
  return world.stub.authorizations().at(0).responses;
}

/// As if the CA had been at work on the order for so long.
void finalized_before(StubIssuing& world, const std::string& interval) {
  world.sql.run("UPDATE csrq.acme_order SET finalize_at = now() - interval '" + interval +
                "' WHERE closed_at IS NULL");
}

/// A row whose order the CA does not finish with, put off for two minutes.
store::RequestId stuck_row(StubIssuing& world) {
  world.stub.change([](StubBehaviour& ca) {
    ca.looks_until_issued = -1;
    ca.retry_after = "120";
  });
  const auto id = world.submit({"a.example"});
  REQUIRE(world.run().put_off == 1);
  REQUIRE(world.row(id).code() == "ca_busy");
  return id;
}

void ca_recovers(StubIssuing& world) {
  world.stub.change([](StubBehaviour& ca) {
    ca.looks_until_issued = 0;
    ca.retry_after = "";
  });
}

}  // namespace

TEST_CASE(
    "a challenge with an error that stays `processing`: the row says so within a minute, and it is answered "
    "again") {
  StubIssuing world;
  world.stub.change([](StubBehaviour& ca) {
    ca.failing_responses = 1;
    ca.retry_after = "3600";  // however long the CA lets csrq wait
  });
  const auto id = world.submit({"a.example"});
  RunningBatch batch = world.start_run();
  CHECK(comes_about([&] { return world.row(id).code() == "connection"; }, 1min));
  const Row row = world.row(id);
  CHECK(row.status == "pending");
  CHECK(row.failure_class() == "validation");
  CHECK(row.detail().starts_with("a.example: a.example: connection refused"));
  CHECK(row.error.value("failed_names", nlohmann::json()) == nlohmann::json({"a.example"}));
  CHECK(row.error.value("type", "") == "urn:ietf:params:acme:error:connection");
  CHECK(comes_about([&] { return responses(world) == 2; }));
  CHECK(world.job(id, "failures") == "0");
  CHECK(retry(world, id) == 1);  // else it is seen half a minute later
  CHECK(batch.wait().issued == 1);
  CHECK(world.row(id).error.is_null());
}

TEST_CASE(
    "csrq retry of a row that a worker keeps: what the CA has not decided on is answered again within "
    "seconds") {
  StubIssuing world;
  SUBCASE("the CA found an error") {
    world.stub.change([](StubBehaviour& ca) { ca.failing_responses = 1; });
  }
  SUBCASE("the CA has lost the answer") {
    world.stub.change([](StubBehaviour& ca) { ca.lost_responses = 1; });
  }
  world.stub.change([](StubBehaviour& ca) { ca.retry_after = "60"; });
  const auto id = world.submit({"a.example"});
  RunningBatch batch = world.start_run();
  REQUIRE(comes_about([&] { return world.stub.accepted(Kind::challenge) == 1; }, 30s));
  CHECK(retry(world, id) == 1);
  CHECK(comes_about([&] { return responses(world) == 2; }));
  CHECK(retry(world, id) == 1);  // what has become of it is seen at once, too
  CHECK(comes_about([&] { return world.row(id).status == "issued"; }));
  CHECK(batch.wait().issued == 1);
}

TEST_CASE("a challenge that was answered and is still pending is answered again by the next step") {
  StubIssuing world;
  world.stub.change([](StubBehaviour& ca) {
    ca.lost_responses = 1;
    ca.retry_after = "120";
  });
  const auto id = world.submit({"a.example"});
  CHECK(world.run().put_off == 1);
  world.make_due(id);
  CHECK(world.run().issued == 1);
  CHECK(responses(world) == 2);
}

TEST_CASE(
    "an order that stays `processing` for an hour is closed: a failure of the CA, an alarm, and another "
    "order") {
  StubIssuing world;
  const auto id = stuck_row(world);
  finalized_before(world, "61 minutes");
  world.make_due(id);
  CHECK(world.run().failed == 1);
  CHECK(world.row(id).code() == "order_stuck");
  CHECK(world.row(id).failure_class() == "transient");
  CHECK(world.job(id, "failures") == "1");
  CHECK(world.count("request WHERE csrq.is_trouble_of_ca(error_class, error_code)") == "1");
  CHECK(world.count("acme_order WHERE closed_at IS NOT NULL AND error ->> 'code' = 'order_stuck'") == "1");
  CHECK(world.count("event WHERE what = 'failed' AND detail #>> '{error,code}' = 'order_stuck'") == "1");
  CHECK(world.count("alarm WHERE code = 'order_stuck' AND cleared_at IS NULL") == "1");
  ca_recovers(world);
  world.make_due(id);
  CHECK(world.run().issued == 1);
  CHECK(world.stub.orders().size() == 2);
}

TEST_CASE("an order stays open for as long as the CA asks to wait, be it for more than an hour") {
  StubIssuing world;
  const auto id = stuck_row(world);
  world.stub.change([](StubBehaviour& ca) { ca.retry_after = "7200"; });
  finalized_before(world, "61 minutes");
  world.make_due(id);
  CHECK(world.run().put_off == 1);
  CHECK(world.row(id).code() == "ca_busy");
  finalized_before(world, "121 minutes");
  world.make_due(id);
  CHECK(world.run().failed == 1);
  CHECK(world.row(id).code() == "order_stuck");
}

TEST_CASE("an order counts from the last time that it was finalized") {
  StubIssuing world;
  const auto id = stuck_row(world);
  finalized_before(world, "1 day");
  world.stub.set_order_status(world.stub.orders().at(0).url, "ready");
  world.make_due(id);
  CHECK(world.run().put_off == 1);
  CHECK(world.row(id).code() == "ca_busy");
  CHECK(world.stub.orders().size() == 1);
}

TEST_CASE(
    "csrq retry of a row whose order stays `processing` orders anew at once, and no failure is counted") {
  StubIssuing world;
  const auto id = stuck_row(world);
  ca_recovers(world);
  CHECK(retry(world, id) == 1);
  CHECK(world.run().issued == 1);
  CHECK(world.stub.orders().size() == 2);
  CHECK(world.count("event WHERE what = 'failed'") == "0");
}

TEST_CASE("csrq retry of everything leaves alone what a CA has been at work on for minutes only") {
  StubIssuing world;
  const auto id = stuck_row(world);
  CHECK(store::retry(world.database, {.everything = true}) == 1);
  CHECK(world.run().put_off == 1);
  CHECK(world.stub.orders().size() == 1);
  finalized_before(world, "11 minutes");
  CHECK(store::retry(world.database, {.everything = true}) == 1);
  ca_recovers(world);
  CHECK(world.run().issued == 1);
  CHECK(world.row(id).status == "issued");
  CHECK(world.stub.orders().size() == 2);
}

TEST_CASE(
    "csrq retry of a row that a worker keeps while its order is `processing` orders anew within seconds") {
  StubIssuing world;
  world.stub.change([](StubBehaviour& ca) {
    ca.looks_until_issued = -1;
    ca.retry_after = "60";
  });
  const auto id = world.submit({"a.example"});
  RunningBatch batch = world.start_run();
  REQUIRE(comes_about([&] { return world.stub.accepted(Kind::finalize) == 1; }, 30s));
  ca_recovers(world);
  CHECK(retry(world, id) == 1);
  CHECK(comes_about([&] { return world.row(id).status == "issued"; }));
  CHECK(batch.wait().issued == 1);
  CHECK(world.stub.orders().size() == 2);
}

TEST_CASE(
    "rows for the same names with different keys go one after the other, each as soon as the last is done") {
  StubIssuing world;
  world.stub.change([](StubBehaviour& ca) { ca.reuse_orders = true; });
  const auto first = world.submit({"a.example"});
  Hold hold = world.stub.hold_next(Kind::challenge);
  world.stub.fail_next(Kind::challenge, faults::cut_before());
  world.worker().work_until(hold);
  world.sql.run("UPDATE csrq.job SET run_at = now() + interval '1 hour'");
  const auto second = world.submit_csr({.names = {"a.example"}, .key = "RSA-2048"});
  const auto third = world.submit_csr({.names = {"a.example"}, .key = "P-384"});
  for (const auto& id : {second, third}) {  // one at a time: they are called in the order in which they came
    CHECK(world.run(1).put_off == 1);
    CHECK(world.row(id).code() == "order_taken");
  }

  world.make_due(first);
  CHECK(world.run().issued == 1);
  CHECK(world.due_in(second) <= 0);
  CHECK(world.due_in(third) > 60);
  CHECK(world.run().issued == 1);
  CHECK(world.row(second).status == "issued");
  CHECK(world.due_in(third) <= 0);
  CHECK(world.run().issued == 1);
  CHECK(world.stub.issued() == 3);
}

TEST_CASE("a row whose worker cannot have more orders at the CA says so") {
  StubIssuing world;
  world.ca_config().orders_in_flight = 1;
  world.stub.change([](StubBehaviour& ca) {
    ca.looks_until_issued = 1;
    ca.retry_after = "8";
  });
  world.config.cas["other"] = world.ca_config();
  world.submit({"a.example"});
  world.submit({"b.example"});
  RunningBatch batch = world.start_run();
  CHECK(comes_about([&] { return world.count("request WHERE error ->> 'code' = 'ca_full'") == "1"; }, 30s));
  batch.wait();
}

TEST_CASE("a row that is held back while an authorization is deactivated says so, and goes on by itself") {
  StubIssuing world;
  world.submit({"a.example"});
  Hold hold = world.stub.hold_next(Kind::challenge);
  RunningBatch first([&] { return world.run(1); });
  hold.wait_until_reached();
  world.sql.run("UPDATE csrq.acme_authorization SET deactivation_at = now(), deactivation_tries = 1");
  TestWorker other(world.config, world.keyring);
  const auto id = world.submit({"a.example"});
  RunningBatch second([&] { return other.run(1); });
  CHECK(comes_about([&] { return world.row(id).code() == "on_hold"; }));
  CHECK(world.job(id, "status") == "leased");
  world.sql.run("UPDATE csrq.acme_authorization SET deactivation_at = NULL");
  hold.release();
  first.wait();
  CHECK(second.wait().issued == 1);
  CHECK(world.row(id).error.is_null());
}

TEST_CASE("what is valid by the clock of the database is valid, whatever the worker's machine thinks") {
  StubIssuing world;
  world.sql.run(
      "CREATE OR REPLACE FUNCTION csrq.clock() RETURNS timestamptz LANGUAGE sql AS "
      "$$ SELECT clock_timestamp() + interval '1 hour' $$");
  world.stub.change([](StubBehaviour& ca) { ca.valid_since = -30min; });
  const auto id = world.submit({"a.example"});
  CHECK(world.run().issued == 1);
  CHECK(world.row(id).status == "issued");
}

TEST_CASE("an order that has not expired by the clock of the database is gone on with") {
  StubIssuing world;
  world.sql.run(
      "CREATE OR REPLACE FUNCTION csrq.clock() RETURNS timestamptz LANGUAGE sql AS "
      "$$ SELECT clock_timestamp() - interval '20 minutes' $$");
  world.stub.change([](StubBehaviour& ca) {
    ca.edit_order = [](nlohmann::json& order) { order["expires"] = to_rfc3339(now() - 10min); };
  });
  const auto id = world.submit({"a.example"});
  CHECK(world.run().issued == 1);
  CHECK(world.row(id).status == "issued");
}

TEST_CASE("an order that lay for hours before its challenges were answered is looked at soon after that") {
  StubIssuing world;
  const auto id = world.submit({"a.example"});
  Hold hold = world.stub.hold_next(Kind::challenge);
  world.stub.fail_next(Kind::challenge, faults::cut_before());
  world.worker().work_until(hold);
  world.sql.run("UPDATE csrq.acme_order SET created_at = now() - interval '2 hours'");
  world.sql.run("UPDATE csrq.acme_challenge SET presented_at = now() - interval '2 hours'");
  world.make_due(id);
  CHECK(world.run().issued == 1);
}

TEST_CASE("csrq retry of a row in the middle of a step ends the wait that the step leads to") {
  StubIssuing world;
  world.stub.change([](StubBehaviour& ca) {
    ca.looks_until_issued = -1;
    ca.retry_after = "60";
  });
  const auto one = world.submit({"a.example"});
  const auto other = world.submit({"b.example"});
  Hold hold = world.stub.hold_next(Kind::finalize);
  RunningBatch batch = world.start_run();
  hold.wait_until_reached();
  CHECK(comes_about([&] { return world.count("request WHERE error ->> 'code' = 'ca_busy'") == "1"; }, 30s));
  const auto waiting = world.row(one).code() == "ca_busy" ? one : other;
  const auto stepping = waiting == one ? other : one;
  CHECK(retry(world, waiting) == 1);
  CHECK(retry(world, stepping) == 1);
  // The worker asks for the retries of rows that wait, and leaves the other one.
  CHECK(comes_about([&] { return world.count("job WHERE retry_requested") == "1"; }, 30s));
  world.stub.change([](StubBehaviour& ca) { ca.retry_after = "3600"; });
  hold.release();
  CHECK(comes_about([&] { return world.row(stepping).code() == "ca_busy"; }, 30s));
  ca_recovers(world);
  retry(world, waiting);
  const auto issued = batch.wait().issued;
  CHECK(issued + world.run().issued == 2);
  CHECK(world.row(stepping).status == "issued");
}

TEST_CASE("a customer whose names validate slowly makes no other customer's first look late") {
  StubIssuing world;
  const PollPace& pace = world.worker().cas.find("test").validation_pace;
  const Duration before = pace.first_wait("acme");
  world.stub.change([](StubBehaviour& ca) { ca.looks_until_validated = 2; });
  for (int i = 0; i < 40; ++i) world.submit({"slow" + std::to_string(i) + ".example"}, "slow");
  CHECK(world.run().issued == 40);
  CHECK(pace.first_wait("slow") > 20 * before);
  CHECK(pace.first_wait("acme") <= before * 3 / 2);
}
