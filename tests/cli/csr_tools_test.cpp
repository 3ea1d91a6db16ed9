#include <doctest/doctest.h>

#include "cli/cli_fixture.hpp"
#include "cli/mbedtls_csr.hpp"
#include "support/preflight_verdict.hpp"

using namespace csrq;
using namespace csrq::test;

namespace {

void run_tool(const std::vector<std::string>& command) {
  const embedded::Outcome outcome = embedded::run({.command = command});
  REQUIRE_MESSAGE(outcome.exit_code == 0, command.front() << ": " << outcome.output);
}

/// Java's: a fresh key, and a CSR for it with this subject.
std::string keytool_csr(const std::vector<std::string>& key, const std::string& subject,
                        const std::vector<std::string>& extensions) {
  const std::filesystem::path folder = fresh_folder();
  const std::filesystem::path file = folder / "csr.pem";
  const std::vector<std::string> store{"-keystore", folder / "store", "-storepass",
                                       "changeit",  "-alias",         "key"};
  std::vector<std::string> make_key{"keytool", "-genkeypair", "-dname", subject};
  make_key.insert(make_key.end(), store.begin(), store.end());
  make_key.insert(make_key.end(), key.begin(), key.end());
  run_tool(make_key);
  std::vector<std::string> make_csr{"keytool", "-certreq", "-file", file};
  make_csr.insert(make_csr.end(), store.begin(), store.end());
  make_csr.insert(make_csr.end(), extensions.begin(), extensions.end());
  run_tool(make_csr);
  return read_file(file);
}

/// GnuTLS's, which writes an explanation before the CSR.
std::string certtool_csr(const std::vector<std::string>& key, const std::vector<std::string>& more = {}) {
  const std::filesystem::path folder = fresh_folder();
  const std::filesystem::path file = folder / "csr.pem";
  std::vector<std::string> make_key{"certtool", "--generate-privkey", "--outfile", folder / "key.pem"};
  make_key.insert(make_key.end(), key.begin(), key.end());
  run_tool(make_key);
  const auto names = write_file(folder / "template",
                                "cn = \"gnutls.example.test\"\n"
                                "dns_name = \"www.gnutls.example.test\"\n"
                                "ip_address = \"192.0.2.8\"\n");
  std::vector<std::string> make_csr{"certtool",       "--generate-request",
                                    "--load-privkey", folder / "key.pem",
                                    "--template",     names,
                                    "--outfile",      file};
  make_csr.insert(make_csr.end(), more.begin(), more.end());
  run_tool(make_csr);
  return read_file(file);
}

std::string openssl_csr(const std::vector<std::string>& more) {
  const std::filesystem::path folder = fresh_folder();
  const std::filesystem::path file = folder / "csr.pem";
  std::vector<std::string> command{
      "openssl", "req", "-new", "-newkey", "rsa:2048", "-noenc", "-keyout", folder / "key.pem", "-out", file};
  command.insert(command.end(), more.begin(), more.end());
  run_tool(command);
  return read_file(file);
}

constexpr const char* gnutls_names = "192.0.2.8 gnutls.example.test www.gnutls.example.test";

}  // namespace

TEST_CASE("CSRs of Java's keytool get the verdict that CAs give them") {
  CHECK(
      verdict(keytool_csr({"-keyalg", "RSA", "-keysize", "2048"}, "CN=java.example.test, O=Acme & Co_, C=DE",
                          {"-ext", "SAN=dns:www.java.example.test,ip:192.0.2.7"})) ==
      "192.0.2.7 java.example.test www.java.example.test");
  CHECK(verdict(keytool_csr({"-keyalg", "EC", "-groupname", "secp256r1"}, "CN=java.example.test", {})) ==
        "java.example.test");
  CHECK(verdict(keytool_csr({"-keyalg", "EC", "-groupname", "secp256r1"}, "CN=Joe Doe, O=Acme", {})) ==
        "common_name_not_in_san");
}

TEST_CASE("CSRs of GnuTLS's certtool get the verdict that CAs give them") {
  CHECK(verdict(certtool_csr({"--key-type", "ecdsa", "--curve", "secp256r1"})) == gnutls_names);
  CHECK(verdict(certtool_csr({"--key-type", "rsa", "--bits", "3072"})) == gnutls_names);
  const std::string ed25519 = certtool_csr({"--key-type", "ed25519"});
  CHECK(verdict(ed25519) == "unsupported_key");
  CHECK(verdict(ed25519, {.keys = {CertificateKey::ed25519}}) == gnutls_names);
  CHECK(verdict(certtool_csr({"--key-type", "rsa-pss", "--bits", "2048"})) == "unsupported_key");
}

TEST_CASE("CSRs of openssl get the verdict that CAs give them") {
  CHECK(verdict(openssl_csr({"-text", "-subj", "/CN=a.example.test"})) == "a.example.test");
  CHECK(verdict(openssl_csr(
            {"-subj", "/", "-addext", "subjectAltName=DNS:a.example.test,IP:::ffff:192.0.2.1"})) ==
        "192.0.2.1 a.example.test");
  CHECK(verdict(openssl_csr({"-subj", "/", "-addext", "subjectAltName=DNS:a.example.test", "-sigopt",
                             "rsa_padding_mode:pss"})) == "unsupported_signature");
}

TEST_CASE("CSRs of mbedTLS get the verdict that CAs give them") {
  CHECK(verdict(mbedtls_csr("CN=mbedtls.example.test,O=Acme_,C=DE", "www.mbedtls.example.test")) ==
        "mbedtls.example.test www.mbedtls.example.test");
  CHECK(verdict(mbedtls_csr("CN=mbedtls.example.test", "")) == "mbedtls.example.test");
}
