#include <doctest/doctest.h>
#include <openssl/asn1.h>

#include "config/config.hpp"
#include "support/issuing_fixture.hpp"

using namespace csrq;
using namespace csrq::test;
using Names = std::vector<std::string>;

namespace {

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// What a refusal before any order leaves behind: the row, and nothing at the CA.
void expect_refused(StubIssuing& world, store::RequestId id, const std::string& code) {
  const Row row = world.row(id);
  CHECK(row.status == "failed");
  CHECK(row.failure_class() == "permanent");
  CHECK(row.code() == code);
  CHECK(world.stub.accounts().empty());
  CHECK(world.stub.orders().empty());
}

}  // namespace

TEST_CASE("a row whose only name is the common name is ordered, proved and issued for it") {
  StubIssuing world;
  const auto id = world.submit_csr({.common_name = "Shop.Example"});
  CHECK(world.run().issued == 1);
  const Row row = world.row(id);
  CHECK(row.names == Names{"shop.example"});
  REQUIRE(world.stub.orders().size() == 1);
  CHECK(world.stub.orders().front().names == Names{"shop.example"});
  CHECK(world.chain_error(row.chain, {"shop.example"}) == "");
}

TEST_CASE("a common name beside other names is one of the order's identifiers") {
  StubIssuing world;
  const auto id =
      world.submit_csr({.names = {"www.shop.example", "192.0.2.1"}, .common_name = "shop.example"});
  CHECK(world.run().issued == 1);
  const Names all{"192.0.2.1", "shop.example", "www.shop.example"};
  CHECK(world.row(id).names == all);
  CHECK(world.stub.orders().front().names == all);
  CHECK(world.chain_error(world.row(id).chain, all) == "");
}

TEST_CASE("a CSR that its CA does not take fails before any account or order, with the CA's own rules") {
  const struct {
    const char* code;
    CsrRecipe csr;
  } refusals[]{
      {"microsoft_extension_request", {.common_name = "a.example", .microsoft_names = {"a.example"}}},
      {"bad_string",
       {.names = {"a.example"},
        .subject = {{.name = "O", .type = V_ASN1_PRINTABLESTRING, .octets = "Acme & Co_"}}}},
      {"unreadable", {.names = {"a.example"}, .second_request = {"b.example"}}},
      {"common_name_not_in_san", {.names = {"a.example"}, .common_name = "My Server"}},
      {"unsupported_key", {.names = {"a.example"}, .key = "RSA-2048"}},
  };
  for (const auto& [code, csr] : refusals) {
    CAPTURE(code);
    StubIssuing world;
    world.ca_config().accepts.keys = {CertificateKey::ec_p256};
    const auto id = world.submit_csr(csr);
    CHECK(world.run().failed == 1);
    expect_refused(world, id, code);
  }
}

TEST_CASE("Pebble takes a CSR with two extension requests, one of them with the names") {
  PebbleIssuing world({.always_valid = true});
  const auto id = world.submit_csr({.names = {"a.example"}, .key_usage = true});
  CHECK(world.run().issued == 1);
  CHECK(world.row(id).names == Names{"a.example"});
}

TEST_CASE("Pebble takes an IPv4 address that is mapped into IPv6 for that IPv4 address") {
  PebbleIssuing world({.always_valid = true});
  const std::string mapped = std::string(10, '\0') + "\xff\xff\x7f" + std::string("\0\0\x01", 3);
  const auto id = world.submit_csr({.ip_octets = mapped});
  CHECK(world.run().issued == 1);
  CHECK(world.row(id).names == Names{"127.0.0.1"});
}

TEST_CASE("what is configured that a CA takes goes to it as it is: must-staple, P-521, other names") {
  PebbleIssuing world({.always_valid = true});
  AcceptsConfig& accepts = world.ca_config().accepts;
  accepts.keys = {CertificateKey::ec_p521};
  accepts.must_staple = true;
  accepts.other_names = OtherNames::ignore;
  world.submit_csr(
      {.names = {"a.example"}, .key = "P-521", .uris = {"https://a.example"}, .must_staple = true});
  CHECK(world.run().issued == 1);
}

TEST_CASE("a row that asks for must-staple does not get the chain of one that does not") {
  StubIssuing world;
  world.ca_config().accepts.must_staple = true;
  CsrRecipe csr{.names = {"a.example"}};
  for (const bool must_staple : {false, true, true}) {
    csr.must_staple = must_staple;
    world.submit_row({.customer = "acme", .csr = csr_pem(csr)});
    CHECK(world.run().issued == 1);
  }
  CHECK(world.stub.issued() == 2);  // the last row shares the second one's
}

TEST_CASE("what a CA answers to a common name that it does not read is in the row") {
  PebbleIssuing world({.always_valid = true});
  const auto id = world.submit_csr({.common_name = "a.example"});
  CHECK(world.run().issued == 0);
  CHECK(has(world.row(id).detail(), "different number of"));
}
