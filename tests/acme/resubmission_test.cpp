#include <doctest/doctest.h>

#include "support/issuing_fixture.hpp"

using namespace std::chrono_literals;
using namespace csrq;
using namespace csrq::test;
using Kind = StubRequest;

namespace {

/// A row that was cancelled while its order was pending at the CA.
store::RequestId cancelled_midway(StubIssuing& world, const std::vector<std::string>& names) {
  const auto id = world.submit(names);
  world.stub.fail_next(Kind::challenge, faults::status(500));
  REQUIRE(world.run().failed == 1);
  REQUIRE(world.stub.orders().size() == 1);
  CHECK(store::cancel(world.database, id) == "cancelled");
  return id;
}

}  // namespace

TEST_CASE("a row submitted again after a cancel goes on with the order that is open at the CA") {
  StubIssuing world;
  cancelled_midway(world, {"a.example", "b.example"});
  const auto id = world.submit({"b.example", "a.example"});  // another key, another CSR
  CHECK(world.run().issued == 1);
  CHECK(world.chain_error(world.row(id).chain, {"a.example", "b.example"}) == "");
  CHECK(world.stub.orders().size() == 1);
  CHECK(world.stub.requests(Kind::new_order) == 1);
  CHECK(world.stub.authorizations().size() == 2);
}

TEST_CASE("a taken over order that is dead at the CA costs the row no failure: it orders anew") {
  StubIssuing world;
  cancelled_midway(world, {"a.example"});
  const std::string url = world.stub.orders().at(0).url;
  SUBCASE("the CA has forgotten it") {
    world.stub.forget_order(url);
  }
  SUBCASE("the CA calls it invalid") {
    world.stub.set_order_status(url, "invalid");
  }
  const auto id = world.submit({"a.example"});
  const workers::Tally tally = world.run();
  CHECK(tally.issued == 1);
  CHECK(tally.failed == 0);
  CHECK(world.stub.orders().size() == 2);
  CHECK(world.row(id).status == "issued");
  CHECK(world.count("acme_order WHERE closed_at IS NULL") == "0");
}

TEST_CASE("a taken over order survives the end of the worker that took it over") {
  StubIssuing world;
  cancelled_midway(world, {"a.example"});
  const auto id = world.submit({"a.example"});
  Hold hold = world.stub.hold_next(Kind::order, HoldPoint::after);
  world.worker().work_until(hold);
  world.make_due(id);
  TestWorker other(world.config, world.keyring);
  CHECK(other.run().issued == 1);
  CHECK(world.stub.orders().size() == 1);
  CHECK(world.stub.issued() == 1);
}

TEST_CASE("an order that was being finalized when its row was cancelled is left alone") {
  StubIssuing world;
  const auto cancelled = world.submit({"a.example"});
  world.stub.fail_next(Kind::finalize, faults::status(500));
  CHECK(world.run().failed == 1);
  store::cancel(world.database, cancelled);
  world.submit({"a.example"});
  CHECK(world.run().issued == 1);
  CHECK(world.stub.orders().size() == 2);
}

TEST_CASE("while a row backs off the CA is not asked again for the same names by a fresh one") {
  StubIssuing world;
  const auto failing = world.submit({"a.example"});
  world.stub.fail_next(Kind::new_order, faults::status(500));
  CHECK(world.run().failed == 1);
  world.stub.forget_requests();
  const auto fresh = world.submit({"a.example"});
  CHECK(world.run().put_off == 1);
  CHECK(world.stub.requests(Kind::new_order) == 0);
  CHECK(world.row(fresh).code() == "recent_failure");
  CHECK(world.row(fresh).failure_class() == "limited");
  CHECK(world.row(fresh).error.at("other_request") == store::number(failing));
  CHECK(world.job(fresh, "failures") == "0");
  CHECK(world.due_in(fresh) > world.due_in(failing));

  SUBCASE("until that row has gone through") {
    world.make_due(failing);
    CHECK(world.run().issued == 1);
    world.make_due(fresh);
    CHECK(world.run().issued == 1);
    CHECK(world.row(fresh).error.is_null());
  }
  SUBCASE("unless somebody asks for it") {
    CHECK(store::retry(world.database, {.id = fresh}) == 1);
    CHECK(world.run().issued == 1);
  }
}

TEST_CASE("when a name of an order fails, the request that stands in for the rest is issued at once") {
  StubIssuing world;
  world.stub.change([](StubBehaviour& ca) {
    ca.edit_authorization = [](nlohmann::json& authorization) {
      if (authorization["identifier"]["value"] != "bad.example") return;
      authorization["status"] = "invalid";
      for (nlohmann::json& challenge : authorization["challenges"]) {
        challenge["status"] = "invalid";
        challenge["error"] = {{"type", "urn:ietf:params:acme:error:dns"}, {"detail", "no such name"}};
      }
    };
  });
  const auto whole = world.submit({"a.example", "b.example", "bad.example"});
  const auto stands_in = [&](const std::vector<std::string>& names) {
    const auto id = world.submit(names);
    world.sql.run("UPDATE csrq.request SET split_of = " + std::to_string(store::number(whole)) +
                  " WHERE id = " + std::to_string(store::number(id)));
    return id;
  };
  const auto rest = stands_in({"a.example", "b.example"});
  const auto less = stands_in({"a.example"});
  world.sql.run("UPDATE csrq.job SET run_at = now() + interval '1 hour' WHERE request_id = " +
                std::to_string(store::number(whole)));
  CHECK(world.run().put_off == 2);
  CHECK(world.row(rest).code() == "split_waits");
  world.make_due(whole);
  world.run();
  CHECK(world.row(whole).status == "pending");
  CHECK(world.row(whole).error.at("failed_names") == nlohmann::json{"bad.example"});
  CHECK(world.row(whole).detail() == "bad.example: no such name");
  world.run();
  CHECK_MESSAGE(world.row(rest).status == "issued", world.row(rest).error.dump());
  CHECK(world.row(less).code() == "split_waits");
}
