#include "crypto/certificate.hpp"

#include <doctest/doctest.h>

#include "base/encoding.hpp"
#include "base/error.hpp"
#include "chain_certificates.hpp"

using namespace csrq;
using namespace csrq::test;
using crypto::Certificate;

namespace {

/// RFC 9773, appendix A.
constexpr const char* rfc_9773_certificate = R"(-----BEGIN CERTIFICATE-----
MIIBQzCB66ADAgECAgUAh2VDITAKBggqhkjOPQQDAjAVMRMwEQYDVQQDEwpFeGFt
cGxlIENBMCIYDzAwMDEwMTAxMDAwMDAwWhgPMDAwMTAxMDEwMDAwMDBaMBYxFDAS
BgNVBAMTC2V4YW1wbGUuY29tMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEeBZu
7cbpAYNXZLbbh8rNIzuOoqOOtmxA1v7cRm//AwyMwWxyHz4zfwmBhcSrf47NUAFf
qzLQ2PPQxdTXREYEnKMjMCEwHwYDVR0jBBgwFoAUaYhba4dGQEHhs3uEe6CuLN4B
yNQwCgYIKoZIzj0EAwIDRwAwRAIge09+S5TZAlw5tgtiVvuERV6cT4mfutXIlwTb
+FYN/8oCIClDsqBklhB9KAelFiYt9+6FDj3z4KGVelYM5MdsO3pK
-----END CERTIFICATE-----
)";

Certificate read(const char* pem) {
  return crypto::read_pem_chain(pem).front();
}

std::string refusal(std::string_view pem) {
  try {
    crypto::read_pem_chain(pem);
    return {};
  } catch (const Error& error) {
    CHECK(error.failure().code == "bad_certificate");
    CHECK(error.failure().failure_class == FailureClass::transient);
    return error.what();
  }
}

}  // namespace

TEST_CASE("the renewal identifier of RFC 9773's example keeps the serial number's leading zero") {
  const Certificate certificate = read(rfc_9773_certificate);
  CHECK(certificate.renewal_info_id() == "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE");
  CHECK(certificate.serial() == "87654321");
}

TEST_CASE("a certificate without an authority key identifier has no renewal identifier") {
  CHECK(read(root_one_pem).renewal_info_id().empty());
}

TEST_CASE("a certificate tells its facts") {
  const Certificate leaf = read(leaf_pem);
  CHECK(leaf.names() == std::vector<std::string>{"a.example"});
  CHECK(leaf.subject() == "CN=a.example");
  CHECK(leaf.issuer() == "CN=Test Issuer");
  CHECK(leaf.issuer_common_name() == "Test Issuer");
  CHECK(leaf.serial() == "06");
  CHECK(to_rfc3339(leaf.not_before()) == "2026-11-24T01:45:17Z");
  CHECK(to_rfc3339(leaf.not_after()) == "2126-10-31T01:45:17Z");
  CHECK_FALSE(leaf.is_ca());
  CHECK(read(issuer_pem).is_ca());
}

TEST_CASE("a certificate is issued by whoever has its issuer's name and made its signature") {
  CHECK(read(leaf_pem).is_issued_by(read(issuer_pem)));
  CHECK(read(leaf_pem).is_issued_by(read(cross_pem)));
  CHECK_FALSE(read(leaf_pem).is_issued_by(read(middle_pem)));
  CHECK_FALSE(read(issuer_pem).is_issued_by(read(leaf_pem)));
  CHECK(read(root_one_pem).is_self_signed());
  CHECK_FALSE(read(issuer_pem).is_self_signed());
}

TEST_CASE("PEM is written as it was read") {
  CHECK(read(leaf_pem).pem() == leaf_pem);
  CHECK(crypto::read_pem_chain(std::string(leaf_pem) + issuer_pem).size() == 2);
}

TEST_CASE("what is no chain of certificates is refused with a sentence") {
  CHECK(refusal("") == "there is no PEM block CERTIFICATE");
  CHECK(refusal("-----BEGIN PKCS7-----\nAAAA\n-----END PKCS7-----\n") ==
        "there is a PEM block PKCS7 among the certificates");
  CHECK(refusal("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
            .starts_with("not a certificate"));
  std::string eleven;
  for (int i = 0; i < 11; ++i) eleven += leaf_pem;
  CHECK(refusal(eleven) == "there are more than 10 PEM blocks");
}

TEST_CASE("a certificate with anything after its end is refused") {
  CHECK_THROWS_WITH(Certificate::from_der(read(leaf_pem).der() + "x"),
                    "a certificate has data after its end");
}
