#include <doctest/doctest.h>

#include "config/config.hpp"
#include "crypto/certificate.hpp"
#include "support/issuing_fixture.hpp"

using namespace std::chrono_literals;
using namespace csrq;
using namespace csrq::test;
using Kind = StubRequest;
using Counts = std::map<Kind, std::uint64_t>;

namespace {

/// Requests at the stub since the account was made: a first row makes it.
void make_account(StubIssuing& world, const std::string& customer = "acme") {
  world.submit({"first." + customer + ".example"}, customer);
  REQUIRE(world.run().issued == 1);
  world.stub.forget_requests();
}

void expect_issued(StubIssuing& world, store::RequestId id, const std::vector<std::string>& names) {
  const Row row = world.row(id);
  CHECK_MESSAGE(row.status == "issued", row.error.dump());
  CHECK(world.chain_error(row.chain, names) == "");
}

}  // namespace

TEST_CASE("a row becomes a chain that verifies, and all that belongs to it is written with it") {
  StubIssuing world;
  const auto id = world.submit({"b.example", "A.example"});
  const workers::Tally tally = world.run();
  CHECK(tally.claimed == 1);
  CHECK(tally.issued == 1);

  const Row row = world.row(id);
  expect_issued(world, id, {"a.example", "b.example"});
  CHECK(row.names == std::vector<std::string>{"a.example", "b.example"});
  CHECK(row.error.is_null());
  CHECK(crypto::read_pem_chain(row.chain).size() == 2);
  CHECK(row.serial == world.stub.certificates().at(0).serial);
  CHECK(world.count("certificate WHERE serial = '" + row.serial + "'") == "1");
  CHECK(world.count("job") == "0");
  CHECK(world.count("renewal") == "1");
  CHECK(world.count("acme_order WHERE status = 'valid' AND closed_at IS NOT NULL") == "1");
  CHECK(world.count("acme_authorization WHERE status = 'valid'") == "2");
}

TEST_CASE("when a row is issued, no response of its challenges is served any more") {
  StubIssuing world;
  world.submit({"a.example"});
  world.run();
  CHECK(world.count("acme_challenge") == "1");
  CHECK(world.count("acme_challenge WHERE key_authorization IS NOT NULL") == "0");
}

TEST_CASE("orders and authorizations in the database are those at the CA") {
  StubIssuing world;
  for (const char* name : {"a.example", "b.example", "c.example"}) world.submit({name});
  world.run();
  for (const StubOrder& order : world.stub.orders())
    CHECK(world.count("acme_order WHERE url = '" + order.url + "'") == "1");
  for (const StubAuthorization& one : world.stub.authorizations())
    CHECK(world.count("acme_authorization WHERE url = '" + one.url + "' AND identifier = '" + one.identifier +
                      "'") == "1");
}

TEST_CASE("a fresh one-name certificate takes six requests and an account three") {
  StubIssuing world;
  world.submit({"a.example"});
  world.run();
  CHECK(world.stub.requests_by_kind() == Counts{{Kind::directory, 1},
                                                {Kind::new_nonce, 1},
                                                {Kind::new_account, 1},
                                                {Kind::new_order, 1},
                                                {Kind::authorization, 1},
                                                {Kind::challenge, 1},
                                                {Kind::order, 1},
                                                {Kind::finalize, 1},
                                                {Kind::certificate, 1}});
}

TEST_CASE("each further name takes two requests more") {
  StubIssuing world;
  make_account(world);
  const auto id = world.submit({"a.example", "b.example", "c.example"});
  world.run();
  expect_issued(world, id, {"a.example", "b.example", "c.example"});
  CHECK(world.stub.requests() == 4 + 2 * 3);
}

TEST_CASE("a CA that answers finalize with `processing` costs one look more") {
  StubIssuing world;
  world.stub.change([](StubBehaviour& ca) { ca.looks_until_issued = 1; });
  make_account(world);
  const auto id = world.submit({"a.example"});
  world.run();
  expect_issued(world, id, {"a.example"});
  CHECK(world.stub.requests() == 7);
}

TEST_CASE("an order that is ready at once takes three requests: its authorizations are not looked at") {
  StubIssuing world;
  world.stub.change([](StubBehaviour& ca) { ca.reuse_authorizations = true; });
  world.submit({"a.example"});
  world.run();
  world.stub.forget_requests();
  const auto id = world.submit({"a.example"});
  world.run();
  expect_issued(world, id, {"a.example"});
  CHECK(world.stub.requests_by_kind() ==
        Counts{{Kind::new_order, 1}, {Kind::finalize, 1}, {Kind::certificate, 1}});
}

TEST_CASE("of an order with one valid authorization only the other is answered") {
  StubIssuing world;
  world.stub.change([](StubBehaviour& ca) { ca.reuse_authorizations = true; });
  world.submit({"a.example"});
  world.run();
  world.stub.forget_requests();
  const auto id = world.submit({"a.example", "b.example"});
  world.run();
  expect_issued(world, id, {"a.example", "b.example"});
  CHECK(world.stub.requests(Kind::challenge) == 1);
}

TEST_CASE("every challenge of an order is answered before the first look") {
  StubIssuing world;
  world.stub.change([](StubBehaviour& ca) { ca.looks_until_validated = 1; });
  const auto id = world.submit({"a.example", "b.example"});
  world.run();
  expect_issued(world, id, {"a.example", "b.example"});
  CHECK(world.stub.requests(Kind::challenge) == 2);
  CHECK(world.stub.requests(Kind::order) == 1);
}

TEST_CASE("the CA finds the response at the responder, and nothing before and after") {
  StubIssuing world;
  workers::Responder responder({.listen = "127.0.0.1:0"}, {.url = world.test.url()});
  const std::string address = responder.address();
  world.stub.change([&](StubBehaviour& ca) {
    ca.always_valid = false;
    ca.http_port = std::stoi(address.substr(address.rfind(':') + 1));
  });
  const auto id = world.submit({"a.example", "b.example"});
  world.run();
  expect_issued(world, id, {"a.example", "b.example"});
}

TEST_CASE("an IP address and an RSA key are certified like any other") {
  StubIssuing world;
  const auto address = world.submit({"192.0.2.7", "2001:db8::1", "a.example"});
  const auto rsa = world.submit_csr(CsrRecipe{.names = {"rsa.example"}, .key = "RSA-2048"});
  world.run();
  expect_issued(world, address, {"192.0.2.7", "2001:db8::1", "a.example"});
  expect_issued(world, rsa, {"rsa.example"});
}

TEST_CASE("a CA that lists identifiers and authorizations in another order each time is understood") {
  StubIssuing world;
  world.stub.change([](StubBehaviour& ca) {
    ca.shuffle = true;
    ca.looks_until_validated = 2;
    ca.looks_until_issued = 2;
  });
  std::vector<std::string> names;
  for (char letter = 'a'; letter <= 't'; ++letter) names.push_back(std::string(1, letter) + ".example");
  const auto id = world.submit(names);
  world.run();
  expect_issued(world, id, names);
}

TEST_CASE("a CA whose final authorizations list nothing is understood") {
  StubIssuing world;
  world.stub.change([](StubBehaviour& ca) {
    ca.reuse_authorizations = true;
    ca.edit_authorization = [](nlohmann::json& authorization) {
      if (authorization["status"] == "valid") authorization.erase("challenges");
    };
  });
  world.submit({"a.example"});
  world.run();
  const auto id = world.submit({"a.example", "b.example"});
  world.run();
  expect_issued(world, id, {"a.example", "b.example"});
}

TEST_CASE("a CA that offers no http-01 challenge: the row fails at once and says what is offered") {
  StubIssuing world;
  world.stub.change([](StubBehaviour& ca) {
    ca.edit_authorization = [](nlohmann::json& authorization) {
      for (auto& challenge : authorization["challenges"])
        if (challenge["type"] == "http-01") challenge["type"] = "tls-alpn-01";
    };
  });
  const auto id = world.submit({"a.example"});
  CHECK(world.run().failed == 1);
  const Row row = world.row(id);
  CHECK(row.status == "failed");
  CHECK(row.code() == "no_challenge");
  CHECK(row.detail().find("dns-persist-01, dns-01, tls-alpn-01") != std::string::npos);
}

TEST_CASE("a token that is none is not put anywhere") {
  StubIssuing world;
  world.stub.change([](StubBehaviour& ca) {
    ca.edit_authorization = [](nlohmann::json& authorization) {
      for (auto& challenge : authorization["challenges"])
        if (challenge["type"] == "http-01") challenge["token"] = "../../etc/passwd";
    };
  });
  const auto id = world.submit({"a.example"});
  world.run();
  CHECK(world.row(id).code() == "no_challenge");
  CHECK(world.count("acme_challenge") == "0");
  CHECK(world.stub.requests(Kind::challenge) == 0);
}

TEST_CASE("a renewal replaces the chain, and both certificates are kept") {
  StubIssuing world;
  const auto id = world.submit({"a.example"});
  world.run();
  const std::string before = world.row(id).chain;
  REQUIRE(store::renew(world.database, id));
  CHECK(world.row(id).status == "issued");
  CHECK(world.run().issued == 1);
  CHECK(world.row(id).chain != before);
  expect_issued(world, id, {"a.example"});
  CHECK(world.count("certificate") == "2");
}

TEST_CASE("a renewal that fails leaves the old chain where it is") {
  StubIssuing world;
  const auto id = world.submit({"a.example"});
  world.run();
  const std::string before = world.row(id).chain;
  store::renew(world.database, id);
  world.stub.fail_next(Kind::new_order, faults::problem(400, "rejectedIdentifier", "no longer"));
  CHECK(world.run().failed == 1);
  CHECK(world.row(id).status == "issued");
  CHECK(world.row(id).chain == before);
  CHECK(world.row(id).code() == "rejectedIdentifier");
}

TEST_CASE("a revoked certificate is revoked at the CA, with its reason") {
  StubIssuing world;
  const auto id = world.submit({"a.example"});
  world.run();
  REQUIRE(store::revoke(world.database, id, 4));
  CHECK(world.run().revoked == 1);
  CHECK(world.stub.certificates().at(0).revoked);
  CHECK(world.stub.certificates().at(0).reason == 4);
  CHECK(world.row(id).status == "cancelled");
}

TEST_CASE("a revocation whose answer was lost is repeated, and revoked already is success") {
  StubIssuing world;
  const auto id = world.submit({"a.example"});
  world.run();
  store::revoke(world.database, id, 1);
  world.stub.fail_next(Kind::revoke, faults::lost_answer());
  Hold hold = world.stub.hold_next(Kind::revoke, HoldPoint::after);
  world.worker().work_until(hold);
  TestWorker other(world.config, world.keyring);
  CHECK(other.run().revoked == 1);
  CHECK(world.stub.accepted(Kind::revoke) == 1);
  CHECK(world.row(id).status == "cancelled");
}

TEST_CASE("when the directory's URLs move, they are found again") {
  StubIssuing world;
  make_account(world);
  world.stub.move_endpoints();
  const auto id = world.submit({"a.example"});
  world.run();
  expect_issued(world, id, {"a.example"});
  CHECK(world.stub.requests(Kind::directory) == 1);
}

TEST_CASE("an order that the CA hands out again belongs to the row that has it; the other row waits") {
  StubIssuing world;
  world.stub.change([](StubBehaviour& ca) { ca.reuse_orders = true; });
  const auto first = world.submit({"a.example"});
  Hold hold = world.stub.hold_next(Kind::challenge);
  world.stub.fail_next(Kind::challenge, faults::cut_before());
  world.worker().work_until(hold);
  world.sql.run("UPDATE csrq.job SET run_at = now() + interval '1 hour'");
  const auto second = world.submit({"a.example"});
  CHECK(world.run().put_off == 1);
  CHECK(world.row(second).code() == "order_taken");
  CHECK(world.stub.orders().at(0).handed_out == 2);

  world.make_due(first);
  CHECK(world.run().issued == 1);
  expect_issued(world, first, {"a.example"});
  CHECK(world.run().issued == 1);
  expect_issued(world, second, {"a.example"});
  CHECK(world.row(first).serial != world.row(second).serial);
  CHECK(world.stub.issued() == 2);
}

TEST_CASE("many rows of one batch keep few connections") {
  StubIssuing world;
  for (int i = 0; i < 60; ++i)
    world.submit({"n" + std::to_string(i) + ".example"}, "customer-" + std::to_string(i % 5));
  CHECK(world.run().issued == 60);
  CHECK(world.stub.issued() == 60);
  CHECK(world.stub.connections() <= static_cast<std::uint64_t>(world.ca_config().connections));
  CHECK(world.stub.accounts().size() == 5);
}

TEST_CASE("a certificate that has expired when it comes is not renewed at once") {
  StubIssuing world;
  world.stub.change([](StubBehaviour& ca) {
    ca.valid_since = 1h;
    ca.valid_for = 59min;
  });
  world.submit({"a.example"});
  CHECK(world.run().issued == 1);
  CHECK(world.count("renewal WHERE renew_at > now() + interval '30 seconds'") == "1");
}
