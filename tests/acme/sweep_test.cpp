#include "issuance/sweep.hpp"

#include <doctest/doctest.h>

#include "cas/put_in_force.hpp"
#include "support/issuing_fixture.hpp"

using namespace csrq;
using namespace csrq::test;
using Kind = StubRequest;

namespace {

/// A row that was cancelled while the CA had its challenge: its authorization is left behind.
void leave_behind(StubIssuing& world, const std::string& name) {
  const auto id = world.submit({name});
  Hold hold = world.stub.hold_next(Kind::authorization, HoldPoint::after);
  RunningBatch batch = world.start_run();
  hold.wait_until_reached();
  store::cancel(world.database, id);
  hold.release();
  batch.wait();
  cas::put_policies_in_force(world.worker().database, world.worker().cas);
}

issuance::SweepTally sweep(StubIssuing& world) {
  TestWorker& worker = world.worker();
  return issuance::sweep(worker.database, worker.cas, worker.accounts, {});
}

}  // namespace

TEST_CASE("sweep: a pending authorization that no order needs is deactivated once") {
  StubIssuing world;
  leave_behind(world, "a.example");
  CHECK(sweep(world).deactivated == 1);
  CHECK(world.stub.authorizations().at(0).status == "deactivated");
  CHECK(world.count("acme_authorization WHERE status = 'deactivated'") == "1");
  CHECK(sweep(world).deactivated == 0);
  CHECK(world.stub.requests(Kind::deactivation) == 1);
}

TEST_CASE("sweep: one that is valid at the CA by now is kept, without being asked to end") {
  StubIssuing world;
  leave_behind(world, "a.example");
  world.stub.set_authorization_status(world.stub.authorizations().at(0).url, "valid");
  CHECK(sweep(world).over == 1);
  CHECK(world.stub.requests(Kind::deactivation) == 0);
  CHECK(world.count("acme_authorization WHERE status = 'valid'") == "1");
}

TEST_CASE("sweep: a CA that refuses is not asked again, one that no longer knows it neither") {
  StubIssuing world;
  leave_behind(world, "a.example");
  world.stub.fail_next(Kind::deactivation, faults::problem(403, "unauthorized", "no"), 10);
  CHECK(sweep(world).left == 1);
  CHECK(sweep(world).left == 0);
  CHECK(world.stub.requests(Kind::deactivation) == 1);

  StubIssuing forgetful;
  leave_behind(forgetful, "a.example");
  forgetful.stub.fail_next(Kind::authorization, faults::problem(404, "malformed", "gone"), 10);
  CHECK(sweep(forgetful).over == 1);
  CHECK(forgetful.count("acme_authorization WHERE status = 'expired'") == "1");
}

TEST_CASE("sweep: a page that is no ACME answer ends no authorization") {
  for (const Kind kind : {Kind::authorization, Kind::deactivation})
    for (const int status : {200, 403, 404, 410}) {
      CAPTURE(to_string(kind));
      CAPTURE(status);
      StubIssuing world;
      leave_behind(world, "a.example");
      world.stub.fail_next(
          kind,
          {.carried_out = false,
           .answer = StubAnswer{.status = status, .headers = {}, .content_type = "text/html", .body = "<p>"}},
          2);
      CHECK(sweep(world).left == 1);
      CHECK(world.count("acme_authorization WHERE status = 'pending'") == "1");
      CHECK(world.stub.authorizations().at(0).status == "pending");
    }
}

TEST_CASE("sweep: it ends when it is told to, between two requests") {
  StubIssuing world;
  leave_behind(world, "a.example");
  TestWorker& worker = world.worker();
  issuance::sweep(worker.database, worker.cas, worker.accounts, {}, [] { return true; });
  CHECK(world.stub.requests(Kind::deactivation) == 0);
}

TEST_CASE("sweep: an authorization that was found valid holds back no order for its name") {
  StubIssuing world;
  const auto id = world.submit({"a.example"});
  world.stub.fail_next(Kind::finalize, faults::problem(403, "badCSR", "no"));
  CHECK(world.run().failed == 1);
  cas::put_policies_in_force(world.worker().database, world.worker().cas);
  CHECK(sweep(world).over == 1);
  CHECK(store::retry(world.database, {.id = id}) == 1);
  const auto start = std::chrono::steady_clock::now();
  CHECK(world.run().issued == 1);
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::minutes(1));
}

TEST_CASE("sweep: a CA that keeps a valid authorization is asked once") {
  for (const bool refuses : {true, false}) {
    CAPTURE(refuses);
    StubIssuing world;
    world.submit({"a.example"});
    REQUIRE(world.run().issued == 1);
    if (refuses) world.stub.fail_next(Kind::deactivation, faults::problem(403, "unauthorized", "no"), 100);
    world.stub.change([](StubBehaviour& ca) {
      ca.edit_authorization = [](nlohmann::json& authorization) { authorization["status"] = "valid"; };
    });
    TestWorker& worker = world.worker();
    int looks = 0;
    const issuance::SweepTally tally =
        issuance::sweep(worker.database, worker.cas, worker.accounts, {.customer = "acme", .valid = true},
                        [&] { return ++looks > 10; });
    CHECK(tally.left == 1);
    CHECK(tally.over == 0);
    CHECK(world.stub.requests(Kind::deactivation) == 1);
    CHECK(world.count("acme_authorization WHERE status = 'valid' AND deactivation_error IS NOT NULL") == "1");
  }
}
