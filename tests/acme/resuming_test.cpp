#include <doctest/doctest.h>

#include "support/issuing_fixture.hpp"

using namespace std::chrono_literals;
using namespace csrq;
using namespace csrq::test;
using Kind = StubRequest;

namespace {

void expect_issued(StubIssuing& world, store::RequestId id, const std::vector<std::string>& names) {
  const Row row = world.row(id);
  CHECK_MESSAGE(row.status == "issued", row.error.dump());
  CHECK(world.chain_error(row.chain, names) == "");
}

/// A worker that ends while it waits for the answer to this request.
void stop_at(StubIssuing& world, Kind kind, const Fault& fault) {
  world.stub.fail_next(kind, fault);
  Hold hold = world.stub.hold_next(kind, fault.carried_out ? HoldPoint::after : HoldPoint::before);
  world.worker().work_until(hold);
}

/// The same worker, or another that knows nothing but the database.
workers::Tally run_again(StubIssuing& world, store::RequestId id, bool other_worker) {
  world.make_due(id);
  if (!other_worker) return world.run();
  TestWorker other(world.config, world.keyring);
  return other.run();
}

}  // namespace

TEST_CASE(
    "one lost answer at any step: the next worker goes on with the same order, and one certificate is "
    "issued") {
  for (const Kind kind : {Kind::new_account, Kind::new_order, Kind::authorization, Kind::challenge,
                          Kind::order, Kind::finalize, Kind::certificate}) {
    CAPTURE(to_string(kind));
    StubIssuing world;
    const auto id = world.submit({"a.example"});
    stop_at(world, kind, faults::lost_answer());
    run_again(world, id, true);
    expect_issued(world, id, {"a.example"});
    CHECK(world.stub.orders().size() == 1);
    CHECK(world.stub.accounts().size() == 1);
    CHECK(world.stub.issued() == 1);
    CHECK(world.stub.accepted(Kind::finalize) == 1);
    CHECK(world.count("acme_order") == "1");
  }
}

TEST_CASE("one request that never arrived at any step: the next worker goes on") {
  for (const Kind kind :
       {Kind::directory, Kind::new_nonce, Kind::new_account, Kind::new_order, Kind::authorization,
        Kind::challenge, Kind::order, Kind::finalize, Kind::certificate}) {
    CAPTURE(to_string(kind));
    StubIssuing world;
    const auto id = world.submit({"a.example"});
    stop_at(world, kind, faults::cut_before());
    run_again(world, id, true);
    expect_issued(world, id, {"a.example"});
    CHECK(world.stub.orders().size() == 1);
    CHECK(world.stub.issued() == 1);
  }
}

TEST_CASE("a lost answer to newOrder is found out by the worker itself, and the order is found again") {
  StubIssuing world;
  const auto id = world.submit({"a.example"});
  world.stub.fail_next(Kind::new_order, faults::lost_answer());
  CHECK(world.run().issued == 1);  // after the pause that csrq gives a CA that does not answer
  expect_issued(world, id, {"a.example"});
  CHECK(world.stub.orders().size() == 1);
  CHECK(world.count("acme_order") == "1");
}

TEST_CASE("a server error at any step is tried again later") {
  for (const Kind kind : {Kind::directory, Kind::new_account, Kind::new_order, Kind::authorization,
                          Kind::challenge, Kind::order, Kind::finalize, Kind::certificate}) {
    CAPTURE(to_string(kind));
    StubIssuing world;
    const auto id = world.submit({"a.example"});
    world.stub.fail_next(kind, faults::status(500));
    CHECK(world.run().failed == 1);
    CHECK(world.row(id).status == "pending");
    CHECK(world.row(id).code() == "http_500");
    CHECK(run_again(world, id, false).issued == 1);
    CHECK(world.stub.orders().size() == 1);
    CHECK(world.stub.issued() == 1);
  }
}

TEST_CASE(
    "a lost answer to newOrder: where the CA lists no orders, the intent is closed as lost and one "
    "certificate is issued") {
  StubIssuing world(StubOptions{.order_list_page = 0});
  const auto id = world.submit({"a.example"});
  stop_at(world, Kind::new_order, faults::lost_answer());
  CHECK(world.count("acme_order WHERE status = 'creating'") == "1");
  CHECK(run_again(world, id, true).issued == 1);
  CHECK(world.stub.orders().size() == 2);
  CHECK(world.stub.issued() == 1);
  CHECK(world.count("acme_order WHERE status = 'lost' AND closed_at IS NOT NULL") == "1");
}

TEST_CASE("a lost answer to newOrder: where the CA hands out the same order again, the row has it") {
  StubIssuing world(StubOptions{.order_list_page = 0});
  world.stub.change([](StubBehaviour& ca) { ca.reuse_orders = true; });
  const auto id = world.submit({"a.example"});
  stop_at(world, Kind::new_order, faults::lost_answer());
  CHECK(run_again(world, id, true).issued == 1);
  CHECK(world.stub.orders().size() == 1);
  CHECK(world.stub.orders().at(0).handed_out == 2);
}

TEST_CASE("a lost order is found on a later page of the account's list") {
  StubIssuing world(StubOptions{.order_list_page = 2});
  for (int i = 0; i < 5; ++i) world.submit({"n" + std::to_string(i) + ".example"});
  world.run();
  const auto id = world.submit({"a.example"});
  stop_at(world, Kind::new_order, faults::lost_answer());
  CHECK(run_again(world, id, true).issued == 1);
  CHECK(world.stub.orders().size() == 6);
  CHECK(world.stub.requests(Kind::order_list) == 3);
}

TEST_CASE("a lost answer to finalize while the CA is issuing: the order is looked at, not finalized again") {
  StubIssuing world;
  world.stub.change([](StubBehaviour& ca) { ca.looks_until_issued = 2; });
  const auto id = world.submit({"a.example"});
  stop_at(world, Kind::finalize, faults::lost_answer());
  CHECK(run_again(world, id, true).issued == 1);
  CHECK(world.stub.accepted(Kind::finalize) == 1);
  CHECK(world.stub.issued() == 1);
}

TEST_CASE("a finalize that the CA calls repeated is success") {
  StubIssuing world;
  const auto id = world.submit({"a.example"});
  // The order reads `ready` although it has been finalized already, as behind a replicated front end.
  stop_at(world, Kind::finalize, faults::lost_answer());
  world.stub.change([](StubBehaviour& ca) {
    ca.edit_order = [stale = true](nlohmann::json& order) mutable {
      if (std::exchange(stale, false)) order["status"] = "ready";
    };
  });
  CHECK(run_again(world, id, true).issued == 1);
  CHECK(world.stub.accepted(Kind::finalize) == 1);
  CHECK(world.stub.issued() == 1);
}

TEST_CASE("a certificate that cannot be downloaded is not ordered again") {
  StubIssuing world;
  const auto id = world.submit({"a.example"});
  world.stub.fail_next(Kind::certificate, faults::status(404), 2);
  for (int attempt = 0; attempt < 2; ++attempt) {
    world.make_due(id);
    CHECK(world.run().failed == 1);
    CHECK(world.row(id).status == "pending");
  }
  CHECK(run_again(world, id, true).issued == 1);
  CHECK(world.stub.orders().size() == 1);
  CHECK(world.stub.issued() == 1);
}

TEST_CASE("an order that the CA has forgotten is closed as lost, and the next attempt opens another") {
  StubIssuing world;
  const auto id = world.submit({"a.example"});
  world.stub.fail_next(Kind::challenge, faults::status(500));
  world.run();
  world.stub.forget_order(world.stub.orders().at(0).url);
  world.make_due(id);
  CHECK(world.run().failed == 1);
  CHECK(world.row(id).code() == "order_lost");
  CHECK(world.count("acme_order WHERE status = 'lost' AND closed_at IS NOT NULL") == "1");
  CHECK(run_again(world, id, false).issued == 1);
  CHECK(world.stub.issued() == 1);
}

TEST_CASE("an order that expired before the CA was done is closed, and the next attempt opens another") {
  StubIssuing world;
  world.stub.change([](StubBehaviour& ca) {
    ca.edit_order = [](nlohmann::json& order) { order["expires"] = "2020-01-01T00:00:00Z"; };
  });
  const auto id = world.submit({"a.example"});
  CHECK(world.run().failed == 1);
  CHECK(world.row(id).code() == "order_expired");
  world.stub.change([](StubBehaviour& ca) { ca.edit_order = nullptr; });
  CHECK(run_again(world, id, false).issued == 1);
  CHECK(world.stub.orders().size() == 2);
}

TEST_CASE("an order that is `ready` again after finalize is finalized again") {
  StubIssuing world;
  world.stub.change([](StubBehaviour& ca) {
    ca.looks_until_issued = -1;
    ca.retry_after = "120";
  });
  const auto id = world.submit({"a.example"});
  CHECK(world.run().put_off == 1);
  world.stub.set_order_status(world.stub.orders().at(0).url, "ready");
  world.stub.change([](StubBehaviour& ca) { ca.looks_until_issued = 0; });
  CHECK(run_again(world, id, false).issued == 1);
  CHECK(world.stub.issued() == 1);
}

TEST_CASE("an order that finalize leaves where it was is finalized again by the schedule") {
  for (const char* status : {"ready", "pending"}) {
    CAPTURE(status);
    StubIssuing world;
    world.stub.change([&](StubBehaviour& ca) {
      ca.looks_until_issued = -1;
      ca.edit_order = [status](nlohmann::json& order) {
        if (order["status"] == "processing") order["status"] = status;
      };
    });
    const auto id = world.submit({"a.example"});
    CHECK(world.run().failed == 1);
    CHECK(world.row(id).code() == "finalize_ignored");
    CHECK(world.row(id).failure_class() == "transient");
    CHECK(world.job(id, "failures") == "1");
    CHECK(world.stub.requests(Kind::finalize) == 1);
    CHECK(world.count("acme_order WHERE closed_at IS NULL") == "1");
  }
}
