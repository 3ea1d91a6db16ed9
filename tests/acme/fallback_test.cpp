#include <doctest/doctest.h>

#include "config/config.hpp"
#include "support/dns_server.hpp"
#include "support/issuing_fixture.hpp"

using namespace csrq;
using namespace csrq::test;
using Kind = StubRequest;
using nlohmann::json;

namespace {

/// A CA, a second one that is its fallback, and a DNS server whose CAA records a test may set.
struct TwoCas : StubIssuing {
  AcmeStub second{};
  DnsServer dns{};

  TwoCas() {
    config.cas["second"] = {.name = "second",
                            .directory = second.directory_url(),
                            .ca_file = second.ca_file(),
                            .contact = {"mailto:ops@example.net"},
                            .terms_of_service_agreed = true};
    ca_config().fallback_ca = "second";
    config.dns.server = dns.address();
    second.change([](StubBehaviour& ca) {
      ca.edit_directory = [](json& directory) { directory["meta"]["caaIdentities"] = {"second.example"}; };
    });
  }
  ~TwoCas() {
    for (const std::string& complaint : second.complaints()) CHECK_MESSAGE(complaint.empty(), complaint);
  }
  TwoCas(const TwoCas&) = delete;
  TwoCas& operator=(const TwoCas&) = delete;

  void first_fails(int times) { stub.fail_next(Kind::new_order, faults::status(500), times); }
  workers::Tally run_again(store::RequestId id) {
    make_due(id);
    return run();
  }
  /// A row whose CA has failed three times.
  store::RequestId given_up(const std::vector<std::string>& names) {
    first_fails(3);
    const auto id = submit(names);
    for (int i = 0; i < 3; ++i) REQUIRE(run_again(id).failed == 1);
    return id;
  }
  std::string issued_by(store::RequestId id) {
    return sql.value("SELECT issued_by FROM csrq.status WHERE id = " + std::to_string(store::number(id)));
  }
};

}  // namespace

TEST_CASE("a row whose CA goes on failing is issued by the fallback, and says so") {
  TwoCas world;
  const auto id = world.given_up({"a.example", "b.example"});
  CHECK(world.run_again(id).issued == 1);
  CHECK(world.issued_by(id) == "second");
  CHECK(verification_error(world.row(id).chain, world.second.root_pem()) == "");
  CHECK(world.second.issued() == 1);
  CHECK(world.stub.issued() == 0);
  CHECK(world.count("acme_order WHERE closed_at IS NULL") == "0");
}

TEST_CASE(
    "a renewal that its CA does not bring about is done by the fallback; the next one is the CA's again") {
  TwoCas world;
  const auto id = world.submit({"a.example"});
  REQUIRE(world.run().issued == 1);
  CHECK(world.issued_by(id) == "test");
  world.sql.run(
      "UPDATE csrq.request SET renew_at = now() - interval '20 days', not_after = now() + interval '10 "
      "days'");
  REQUIRE(store::renew(world.database, id));
  world.first_fails(1);
  CHECK(world.run().failed == 1);
  CHECK(world.run_again(id).issued == 1);
  CHECK(world.issued_by(id) == "second");
  REQUIRE(store::renew(world.database, id));
  CHECK(world.run().issued == 1);
  CHECK(world.issued_by(id) == "test");
}

TEST_CASE(
    "CAA records that do not allow the fallback keep a row at its CA, wherever in the tree they stand") {
  TwoCas world;
  world.dns.add_caa("example", "issue", "first.example");
  const auto id = world.given_up({"www.a.example"});
  CHECK(world.run_again(id).issued == 1);
  CHECK(world.issued_by(id) == "test");
  CHECK(world.second.requests(Kind::new_order) == 0);
}

TEST_CASE("CAA records that name the fallback let a row go there") {
  TwoCas world;
  world.dns.add_caa("a.example", "issue", "second.example");
  world.dns.add_caa("example", "issue", "first.example");
  const auto id = world.given_up({"www.a.example"});
  CHECK(world.run_again(id).issued == 1);
  CHECK(world.issued_by(id) == "second");
}

TEST_CASE("a row whose CSR the fallback does not take stays at its CA") {
  TwoCas world;
  world.config.cas.at("second").accepts.common_name_only = false;
  world.first_fails(3);
  const auto id = world.submit_csr({.common_name = "a.example"});
  for (int i = 0; i < 3; ++i) REQUIRE(world.run_again(id).failed == 1);
  CHECK(world.run_again(id).issued == 1);
  CHECK(world.second.orders().empty());
  CHECK(world.stub.issued() == 1);
}

TEST_CASE("while CAA records cannot be looked up a row does not go to the fallback, and later it does") {
  TwoCas world;
  world.dns.break_name("a.example", true);
  const auto id = world.given_up({"a.example"});
  world.first_fails(2);
  CHECK(world.run_again(id).failed == 1);
  CHECK(world.second.requests(Kind::new_order) == 0);
  world.dns.break_name("a.example", false);
  CHECK(world.run_again(id).failed == 1);  // its own CA's turn
  CHECK(world.run_again(id).issued == 1);
  CHECK(world.issued_by(id) == "second");
}

TEST_CASE("what the fallback refuses for good is no end of the row: its own CA has its turn again") {
  TwoCas world;
  const auto id = world.given_up({"a.example"});
  world.second.fail_next(Kind::new_order, faults::problem(400, "rejectedIdentifier", "not from us"));
  CHECK(world.run_again(id).failed == 1);
  CHECK(world.row(id).status == "pending");
  CHECK(world.row(id).code() == "rejectedIdentifier");
  CHECK(world.run_again(id).issued == 1);
  CHECK(world.issued_by(id) == "test");
}

TEST_CASE("a row that fails for its names never goes to the fallback") {
  TwoCas world;
  world.stub.change([](StubBehaviour& ca) {
    ca.failing_names["a.example"] = {{"type", "urn:ietf:params:acme:error:dns"}, {"detail", "NXDOMAIN"}};
  });
  const auto id = world.submit({"a.example"});
  for (int i = 0; i < 4; ++i) CHECK(world.run_again(id).failed == 1);
  CHECK(world.second.requests() == 0);
}

TEST_CASE("an order that is open at the fallback is gone on with by the next worker") {
  TwoCas world;
  const auto id = world.given_up({"a.example"});
  world.make_due(id);
  Hold hold = world.second.hold_next(Kind::challenge);
  world.worker().work_until(hold);
  TestWorker other(world.config, world.keyring);
  world.make_due(id);
  CHECK(other.run().issued == 1);
  CHECK(world.issued_by(id) == "second");
  CHECK(world.second.orders().size() == 1);
}
