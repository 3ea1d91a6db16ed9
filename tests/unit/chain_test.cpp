#include "crypto/chain.hpp"

#include <doctest/doctest.h>

#include "base/error.hpp"
#include "chain_certificates.hpp"

using namespace csrq;
using namespace csrq::test;
using crypto::Certificate;

namespace {

using Certificates = std::vector<Certificate>;

const Certificate leaf = crypto::read_pem_chain(leaf_pem).front();
const Certificate issuer = crypto::read_pem_chain(issuer_pem).front();
const Certificate cross = crypto::read_pem_chain(cross_pem).front();
const Certificate middle = crypto::read_pem_chain(middle_pem).front();
const Certificate root_one = crypto::read_pem_chain(root_one_pem).front();
const Certificate root_two = crypto::read_pem_chain(root_two_pem).front();

Time at(const char* text) {
  return *parse_rfc3339(text);
}

crypto::ChainDemand demand() {
  return {.spki_sha256 = leaf.spki_sha256(), .names = {"a.example"}, .at = at("2027-01-01T00:00:00Z")};
}

/// Subjects of the checked chain, or the sentence of the refusal.
std::string checked(const Certificates& certificates, const crypto::ChainDemand& wanted = demand()) {
  try {
    std::string subjects;
    for (const Certificate& one : crypto::checked_chain(certificates, wanted))
      subjects += (subjects.empty() ? "" : " < ") + one.subject();
    return subjects;
  } catch (const Error& error) {
    CHECK(error.failure().code == "bad_chain");
    CHECK(error.failure().failure_class == FailureClass::transient);
    return error.what();
  }
}

constexpr const char* whole = "CN=a.example < CN=Test Issuer < CN=Test Middle";

}  // namespace

TEST_CASE("a chain in order is taken as it is, its root left out") {
  CHECK(checked({leaf, issuer, middle}) == whole);
  CHECK(checked({leaf, issuer, middle, root_one}) == whole);
}

TEST_CASE("a chain in disorder is put in order") {
  CHECK(checked({middle, issuer, leaf}) == whole);
  CHECK(checked({root_one, middle, issuer, leaf}) == whole);
}

TEST_CASE("repetitions and strangers are left out") {
  CHECK(checked({leaf, leaf, issuer, issuer, middle}) == whole);
  CHECK(checked({leaf, root_two, issuer, middle}) == whole);
}

TEST_CASE("of two certificates of the same issuer the first one sent is used") {
  CHECK(checked({leaf, cross, root_two}) == "CN=a.example < CN=Test Issuer");
  const Certificates chain = crypto::checked_chain({leaf, cross, issuer, middle}, demand());
  CHECK(chain.at(1).der() == cross.der());
}

TEST_CASE("an end-entity certificate alone is a chain if the CA sent nothing else, or its root only") {
  CHECK(checked({leaf}) == "CN=a.example");
  CHECK(checked({leaf, leaf}) == "CN=a.example");
  CHECK(checked({leaf, middle}) ==
        "none of the certificates that the CA sent along has issued the end-entity certificate");
}

TEST_CASE("an end-entity certificate that says CA:TRUE is refused") {
  CHECK(checked({middle, root_one}, {.spki_sha256 = middle.spki_sha256(), .names = {}, .at = demand().at}) ==
        "the certificate says CA:TRUE: whoever has its key could issue others, so it is no end entity's");
}

TEST_CASE("a chain is continued by known issuers that have signed its end and are valid, below the root") {
  const auto continued = [](const Certificates& known, Time time = demand().at) {
    return crypto::continued_chain({leaf}, known, time).size();
  };
  CHECK(continued({root_two, middle, issuer, root_one}) == 3);
  CHECK(continued({middle, root_one}) == 1);
  CHECK(continued({}) == 1);
  CHECK(continued({issuer, middle}, at("2200-01-01T00:00:00Z")) == 1);
}

TEST_CASE("a certificate for another key is refused") {
  auto wanted = demand();
  wanted.spki_sha256 = std::string(32, 'x');
  CHECK(checked({leaf, issuer}, wanted) == "the CA's certificate is not for the key of the CSR");
  CHECK(checked({}) == "the CA sent no certificate");
}

TEST_CASE("a certificate with a name too many or too few is refused, naming both lists") {
  auto wanted = demand();
  wanted.names = {"a.example", "b.example"};
  CHECK(checked({leaf, issuer}, wanted) ==
        "the certificate's names are not those of the order: it has a.example, ordered were a.example, "
        "b.example");
  wanted.names = {};
  CHECK(checked({leaf, issuer}, wanted).starts_with("the certificate's names are not those of the order"));
}

TEST_CASE("every certificate must be valid now, give or take five minutes") {
  auto wanted = demand();
  wanted.at = at("2026-11-24T01:40:18Z");  // the leaf starts at 01:45:17
  CHECK(checked({leaf, issuer, middle}, wanted) == whole);
  wanted.at = at("2026-11-24T01:40:16Z");
  CHECK(checked({leaf, issuer, middle}, wanted)
            .starts_with("the certificate of CN=a.example is valid from 2026-11-24T01:45:17Z"));
  wanted.at = at("2126-10-31T01:50:15Z");  // one second less than five minutes after the first one ended
  CHECK(checked({leaf, issuer, middle}, wanted) == whole);
  wanted.at = at("2126-10-31T01:50:17Z");  // the issuer is over, the leaf just not
  CHECK(checked({leaf, issuer, middle}, wanted).starts_with("the certificate of CN=Test Issuer is valid"));
}

TEST_CASE("the chain's PEM is one block after the other") {
  CHECK(crypto::chain_pem({leaf, issuer}) == std::string(leaf_pem) + issuer_pem);
}
