#include <doctest/doctest.h>

#include "config/config.hpp"
#include "support/issuing_fixture.hpp"

using namespace csrq;
using namespace csrq::test;
using Kind = StubRequest;

namespace {

/// An issued row whose renewal is due, at a CA with renewal information.
struct Renewing : StubIssuing {
  explicit Renewing(StubOptions options = {}) : StubIssuing(std::move(options)) {
    stub.change([](StubBehaviour& ca) { ca.offers_renewal_info = true; });
    id = submit({"a.example"});
    REQUIRE(run().issued == 1);
    serial = row(id).serial;
    REQUIRE(store::renew(database, id));
  }
  workers::Tally run_with_another_worker() {
    make_due(id);
    TestWorker other(config, keyring);
    return other.run();
  }
  /// Renewed, and nothing counted as a failure on the way.
  void expect_renewed() {
    CHECK(row(id).serial != serial);
    CHECK(row(id).error.is_null());
    CHECK(count("event WHERE what = 'failed'") == "0");
  }

  store::RequestId id{};
  std::string serial{};
};

}  // namespace

TEST_CASE("replaces: a renewal says which certificate it replaces, a first order does not") {
  Renewing world;
  CHECK(world.run().issued == 1);
  REQUIRE(world.stub.orders().size() == 2);
  CHECK(world.stub.orders().at(0).replaces.empty());
  CHECK(world.stub.orders().at(1).replaces == world.serial);
  world.expect_renewed();
}

TEST_CASE("replaces: not for a CA without renewal information") {
  Renewing world;
  world.stub.change([](StubBehaviour& ca) { ca.offers_renewal_info = false; });
  TestWorker other(world.config, world.keyring);
  CHECK(other.run().issued == 1);
  CHECK(world.stub.orders().at(1).replaces.empty());
}

TEST_CASE("replaces: not under another account than the one that got the certificate") {
  Renewing world;
  world.config.accounts.policy = AccountPolicy::shared;
  TestWorker other(world.config, world.keyring);
  CHECK(other.run().issued == 1);
  CHECK(world.stub.accounts().size() == 2);
  CHECK(world.stub.orders().at(1).replaces.empty());
}

TEST_CASE("replaces: what has been replaced already is ordered once without") {
  Renewing world;
  world.stub.fail_next(Kind::new_order, faults::problem(409, "alreadyReplaced", "it was replaced"));
  CHECK(world.run().issued == 1);
  CHECK(world.stub.requests(Kind::new_order) == 3);
  CHECK(world.stub.orders().at(1).replaces.empty());
  world.expect_renewed();
  CHECK(world.count("acme_order WHERE error ->> 'code' = 'replaces_refused'") == "1");
}

TEST_CASE(
    "replaces: a CA that does not understand it is asked once without; the next renewal says it again") {
  Renewing world;
  world.stub.change([](StubBehaviour& ca) { ca.refuses_replaces = true; });
  CHECK(world.run().issued == 1);
  CHECK(world.stub.requests(Kind::new_order) == 3);
  world.expect_renewed();
  world.stub.change([](StubBehaviour& ca) { ca.refuses_replaces = false; });
  const std::string second = world.row(world.id).serial;
  REQUIRE(store::renew(world.database, world.id));
  CHECK(world.run().issued == 1);
  CHECK(world.stub.orders().back().replaces == second);
}

TEST_CASE("replaces: an order that is malformed for another reason fails as it always did") {
  Renewing world;
  world.stub.fail_next(Kind::new_order, faults::problem(400, "malformed", "no"), 2);
  CHECK(world.run().failed == 1);
  CHECK(world.row(world.id).code() == "malformed");
}

TEST_CASE("replaces: a CA that stumbles over it again and again gets an order without") {
  Renewing world;
  world.stub.fail_next(Kind::new_order, faults::status(500), 3);
  for (int failures = 1; failures <= 3; ++failures) {
    world.make_due(world.id);
    CHECK(world.run().failed == 1);
  }
  world.make_due(world.id);
  CHECK(world.run().issued == 1);
  CHECK(world.stub.orders().at(1).replaces.empty());
}

TEST_CASE("replaces: killed between newOrder and its record, the next worker goes on with the order") {
  for (const int page : {3, 0}) {  // with and without a list of orders
    for (const bool reuses : {true, false}) {
      CAPTURE(page);
      CAPTURE(reuses);
      Renewing world(StubOptions{.order_list_page = page});
      world.stub.change([&](StubBehaviour& ca) {
        ca.counts_open_replacements = true;
        ca.reuse_orders = reuses;
      });
      world.stub.fail_next(Kind::new_order, faults::lost_answer());
      Hold hold = world.stub.hold_next(Kind::new_order, HoldPoint::after);
      world.worker().work_until(hold);
      CHECK(world.run_with_another_worker().issued == 1);
      world.expect_renewed();
      CHECK(world.stub.issued() == 2);
      // A lost order that the CA neither lists nor hands out again cannot be found: one more is opened.
      CHECK(world.stub.orders().size() == (page > 0 || reuses ? 2U : 3U));
    }
  }
}

TEST_CASE("replaces: an order of ours that is open already is gone on with") {
  Renewing world(StubOptions{.order_list_page = 0});
  world.stub.change([](StubBehaviour& ca) { ca.counts_open_replacements = true; });
  // The lease is lost while newOrder is being answered: the order is written down closed.
  Hold hold = world.stub.hold_next(Kind::new_order, HoldPoint::after);
  RunningBatch batch = world.start_run();
  hold.wait_until_reached();
  world.sql.run(
      "UPDATE csrq.job SET status = 'ready', lease_until = NULL, lease_number = NULL, worker_id = NULL");
  world.sql.run("SELECT csrq.close_orders(request_id) FROM csrq.job");
  hold.release();
  batch.wait();
  CHECK(world.stub.orders().size() == 2);
  world.run_with_another_worker();
  world.expect_renewed();
  CHECK(world.stub.orders().size() == 2);
  CHECK(world.stub.issued() == 2);
}

TEST_CASE("replaces: killed after the refusal was written down, the next worker orders without") {
  Renewing world;
  world.stub.fail_next(Kind::new_order, faults::problem(409, "alreadyReplaced", "it was replaced"));
  world.stub.fail_next(Kind::new_order, faults::cut_before());
  Hold first = world.stub.hold_next(Kind::new_order, HoldPoint::before);
  RunningBatch batch = world.start_run();
  first.wait_until_reached();
  Hold second = world.stub.hold_next(Kind::new_order, HoldPoint::before);
  first.release();
  second.wait_until_reached();
  CHECK(world.count("acme_order WHERE error ->> 'code' = 'replaces_refused'") == "1");
  world.sql.run("UPDATE csrq.worker SET heartbeat_at = now() - interval '1 hour'");
  world.sql.run("SELECT csrq.rescue()");
  CHECK(world.run_with_another_worker().issued == 1);
  second.release();
  batch.wait();
  world.expect_renewed();
  CHECK(world.stub.issued() == 2);
  for (const StubOrder& order : world.stub.orders()) CHECK(order.replaces.empty());
}
