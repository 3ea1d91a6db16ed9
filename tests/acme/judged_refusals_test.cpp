#include <doctest/doctest.h>

#include "support/issuing_fixture.hpp"

using namespace csrq;
using namespace csrq::test;
using Kind = StubRequest;

namespace {

/// What something in front of the CA answers: the CA hears nothing of the request.
Fault page(int status, const std::string& media_type = "text/html",
           const std::string& body = "<html>not here</html>") {
  return {.carried_out = false,
          .answer = StubAnswer{.status = status, .headers = {}, .content_type = media_type, .body = body}};
}

const std::vector<Fault>& pages() {
  static const std::vector<Fault> all{
      page(404),
      page(403),
      page(410),
      page(200),
      page(404, "application/json", R"({"message":"no Route matched with those values"})"),
      page(200, "application/json", R"({"status":"error"})"),
      page(404, "application/problem+json", R"({"type":"about:blank","title":"Not Found","status":404})")};
  return all;
}

/// The CA does what it was asked for, and says that it does not.
Fault refused_all_the_same(int status, const std::string& type) {
  Fault fault = faults::problem(status, type, "no");
  fault.carried_out = true;
  return fault;
}

/// A row whose order is at the CA, and which is due.
store::RequestId row_with_order(StubIssuing& world, Kind failing) {
  const auto id = world.submit({"a.example"});
  world.stub.fail_next(failing, faults::status(500));
  CHECK(world.run().failed == 1);
  world.make_due(id);
  return id;
}

}  // namespace

TEST_CASE("a page that is no ACME answer ends no order: the same one goes on") {
  for (const Kind kind :
       {Kind::order, Kind::authorization, Kind::challenge, Kind::finalize, Kind::certificate})
    for (const Fault& fault : pages()) {
      CAPTURE(to_string(kind));
      CAPTURE(fault.answer->status);
      CAPTURE(fault.answer->body);
      StubIssuing world;
      const auto id = row_with_order(world, Kind::challenge);
      world.stub.fail_next(kind, fault, 2);
      CHECK(world.run().failed == 1);
      CHECK(world.row(id).status == "pending");
      CHECK(world.row(id).failure_class() == "transient");
      CHECK(world.count("acme_order WHERE closed_at IS NULL") == "1");
      for (int again = 0; again < 2 && world.row(id).status != "issued"; ++again) {
        world.make_due(id);
        world.run();
      }
      CHECK(world.row(id).status == "issued");
      CHECK(world.stub.orders().size() == 1);
    }
}

TEST_CASE("a page in place of newOrder's answer makes no order unknown") {
  for (const Fault& fault : pages()) {
    StubIssuing world;
    Fault swallowed = fault;
    swallowed.carried_out = true;
    world.stub.fail_next(Kind::new_order, swallowed);
    const auto id = world.submit({"a.example"});
    CHECK(world.run().failed == 1);
    CHECK(world.row(id).failure_class() == "transient");
    world.make_due(id);
    CHECK(world.run().issued == 1);
    CHECK(world.stub.orders().size() == 1);
  }
}

TEST_CASE("a page in place of an account's answer is no account, and ends none") {
  for (const Fault& fault : pages()) {
    StubIssuing world;
    world.stub.fail_next(Kind::new_account, fault);
    const auto id = world.submit({"a.example"});
    CHECK(world.run().failed == 1);
    CHECK(world.row(id).failure_class() == "transient");
    CHECK(world.count("alarm") == "0");
    world.make_due(id);
    CHECK(world.run().issued == 1);
    CHECK(world.stub.accounts().size() == 1);
  }
}

TEST_CASE("a page in place of revokeCert's answer is no revocation") {
  std::vector<Fault> wrong_answers = pages();
  for (const int status : {200, 204})  // empty, as a CA's, but without its nonce
    wrong_answers.push_back({.answer = StubAnswer{.status = status, .headers = {{"Replay-Nonce", ""}}}});
  for (const Fault& fault : wrong_answers) {
    // The stub gives every answer a nonce, which tells a CA's object from a proxy's.
    if (fault.answer->status == 200 && fault.answer->content_type == "application/json") continue;
    StubIssuing world;
    const auto id = world.submit({"a.example"});
    CHECK(world.run().issued == 1);
    store::revoke(world.database, id, 4);
    world.stub.fail_next(Kind::revoke, fault);
    CHECK(world.run().failed == 1);
    CHECK(world.row(id).status == "issued");
    CHECK(world.row(id).failure_class() == "transient");
    world.make_due(id);
    world.run();
    CHECK(world.row(id).status == "cancelled");
    CHECK(world.stub.certificates().at(0).revoked);
  }
}

TEST_CASE("an order that the CA itself no longer knows is given up, and the next attempt opens another") {
  for (const Fault& fault : {faults::problem(404, "malformed", "no such order"),
                             faults::problem(403, "unauthorized", "not yours")}) {
    StubIssuing world;
    const auto id = row_with_order(world, Kind::challenge);
    world.stub.fail_next(Kind::order, fault);
    CHECK(world.run().failed == 1);
    CHECK(world.row(id).code() == "order_lost");
    CHECK(world.row(id).failure_class() == "transient");
    world.make_due(id);
    CHECK(world.run().issued == 1);
    CHECK(world.stub.orders().size() == 2);
  }
}

TEST_CASE("an order that has run out is given up for a page, too: the CA may say no more of it") {
  StubIssuing world;
  const auto id = row_with_order(world, Kind::challenge);
  world.sql.run("UPDATE csrq.acme_order SET expires_at = now() - interval '2 hours'");
  world.stub.fail_next(Kind::order, page(404));
  CHECK(world.run().failed == 1);
  CHECK(world.count("acme_order WHERE closed_at IS NULL") == "0");
  world.make_due(id);
  CHECK(world.run().issued == 1);
  CHECK(world.stub.orders().size() == 2);
}

TEST_CASE("an order of which the CA no longer knows an authorization is given up") {
  StubIssuing world;
  const auto id = row_with_order(world, Kind::challenge);
  world.stub.fail_next(Kind::authorization, faults::problem(404, "malformed", "no such authorization"));
  CHECK(world.run().failed == 1);
  CHECK(world.row(id).code() == "authorization_lost");
  CHECK(world.row(id).failure_class() == "transient");
  CHECK(world.count("acme_order WHERE closed_at IS NULL") == "0");
  world.make_due(id);
  CHECK(world.run().issued == 1);
}

TEST_CASE("a refused response passes where the challenge, read again, is still pending") {
  for (const Fault& fault :
       {faults::problem(400, "malformed", "no"), faults::problem(409, "conflict", "in use")}) {
    StubIssuing world;
    world.stub.fail_next(Kind::challenge, fault);
    const auto id = world.submit({"a.example"});
    CHECK(world.run().failed == 1);
    CHECK(world.row(id).status == "pending");
    CHECK(world.row(id).failure_class() == "transient");
    world.make_due(id);
    CHECK(world.run().issued == 1);
    CHECK(world.stub.orders().size() == 1);
  }
}

TEST_CASE("a refused response is success where the challenge, read again, is answered") {
  for (const Fault& fault : {refused_all_the_same(400, "malformed"), refused_all_the_same(409, "conflict"),
                             Fault{faults::body("text/html", "<html>thanks</html>")}}) {
    StubIssuing world;
    world.stub.fail_next(Kind::challenge, fault);
    world.submit({"a.example"});
    CHECK(world.run().issued == 1);
    CHECK(world.stub.authorizations().at(0).responses == 1);
  }
}

TEST_CASE("a refused finalize of an order that goes on passes: the same order is finalized again") {
  for (const Fault& fault :
       {faults::problem(409, "conflict", "in use"), faults::problem(400, "malformed", "no"),
        faults::problem(403, "orderNotReady", "not yet")}) {
    StubIssuing world;
    world.stub.fail_next(Kind::finalize, fault);
    const auto id = world.submit({"a.example"});
    CHECK(world.run().failed == 1);
    CHECK(world.row(id).status == "pending");
    CHECK(world.row(id).failure_class() == "transient");
    world.make_due(id);
    CHECK(world.run().issued == 1);
    CHECK(world.stub.orders().size() == 1);
  }
}

TEST_CASE("a refused finalize is success where the order, read again, was finalized") {
  for (const Fault& fault : {refused_all_the_same(400, "badCSR"), refused_all_the_same(403, "unauthorized"),
                             refused_all_the_same(500, "serverInternal")}) {
    StubIssuing world;
    world.stub.fail_next(Kind::finalize, fault);
    world.submit({"a.example"});
    CHECK(world.run().issued == 1);
    CHECK(world.stub.issued() == 1);
  }
}

TEST_CASE("`unauthorized` at finalize is about the CSR while the order is ready") {
  StubIssuing world;
  world.stub.fail_next(
      Kind::finalize,
      faults::problem(403, "unauthorized", "Order includes different number of names than CSR specifies"));
  const auto id = world.submit({"a.example"});
  CHECK(world.run().failed == 1);
  CHECK(world.row(id).status == "failed");
  CHECK(world.row(id).failure_class() == "permanent");
  CHECK(world.job(id, "status") == "parked");
}

TEST_CASE("a refused finalize of a dead order costs one failure, and keeps the CA's reason") {
  StubIssuing world;
  const auto id = world.submit({"a.example"});
  world.stub.fail_next(
      Kind::finalize,
      faults::problem(403, "unauthorized", "authorizations for these names not found or expired"));
  Hold hold = world.stub.hold_next(Kind::finalize);
  RunningBatch batch = world.start_run();
  hold.wait_until_reached();
  world.stub.set_order_status(world.stub.orders().at(0).url, "invalid");
  hold.release();
  CHECK(batch.wait().failed == 1);
  CHECK(world.row(id).status == "pending");
  CHECK(world.row(id).failure_class() == "transient");
  CHECK(world.row(id).detail().find("not found or expired") != std::string::npos);
  CHECK(world.count("acme_order WHERE status = 'invalid' AND closed_at IS NOT NULL") == "1");
  CHECK(world.due_in(id) == doctest::Approx(60).epsilon(0.1));
  world.make_due(id);
  CHECK(world.run().issued == 1);
}

TEST_CASE("a refused download passes: the order stays, and the certificate is asked for again") {
  for (const Fault& fault :
       {faults::problem(403, "unauthorized", "no"), faults::problem(400, "malformed", "no"),
        faults::problem(404, "malformed", "not there yet")}) {
    StubIssuing world;
    world.stub.fail_next(Kind::certificate, fault, 2);
    const auto id = world.submit({"a.example"});
    CHECK(world.run().failed == 1);
    CHECK(world.row(id).status == "pending");
    CHECK(world.row(id).failure_class() == "transient");
    world.make_due(id);
    world.run();
    world.make_due(id);
    world.run();
    CHECK(world.row(id).status == "issued");
    CHECK(world.stub.issued() == 1);
  }
}

TEST_CASE("a refused revocation needs a person, and is not taken for a failed validation") {
  StubIssuing world;
  const auto id = world.submit({"a.example"});
  CHECK(world.run().issued == 1);
  store::revoke(world.database, id, 4);
  world.stub.fail_next(Kind::revoke, faults::problem(403, "unauthorized", "it is not yours"));
  CHECK(world.run().failed == 1);
  CHECK(world.row(id).failure_class() == "permanent");
  CHECK(world.job(id, "status") == "parked");
}

TEST_CASE("`unauthorized` at newOrder is about the account, not about the way to the name") {
  StubIssuing world;
  world.stub.fail_next(Kind::new_order, faults::problem(403, "unauthorized", "your plan has no such names"));
  const auto id = world.submit({"a.example"});
  CHECK(world.run().failed == 1);
  CHECK(world.row(id).status == "pending");
  CHECK(world.row(id).failure_class() == "administrative");
}
