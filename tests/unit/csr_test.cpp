#include "crypto/csr.hpp"

#include <doctest/doctest.h>
#include <openssl/asn1.h>

#include <chrono>

#include "support/preflight_verdict.hpp"

using namespace csrq;
using namespace csrq::test;

namespace {

constexpr const char* name = "a.example";

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

CsrRecipe with_organization(int type, const std::string& octets) {
  return {.names = {name}, .subject = {{.name = "O", .type = type, .octets = octets}}};
}

CsrRecipe with_common_name(int type, const std::string& octets) {
  return {.subject = {{.name = "CN", .type = type, .octets = octets}}};
}

/// With an octet string of the same length in place of `old`.
std::string patched(std::string der, const std::string& old, const std::string& octets) {
  const std::size_t at = der.find(old);
  REQUIRE(at != std::string::npos);
  REQUIRE(old.size() == octets.size());
  return der.replace(at, old.size(), octets);
}

/// PEM with `length` octets, most of them in one alternative name.
std::string large_csr(std::size_t length) {
  return csr_der(CsrRecipe{.names = {name}, .dns_names = {std::string(length, 'x')}});
}

}  // namespace

TEST_CASE("every extension request of PKCS #9 is read") {
  CHECK(verdict(CsrRecipe{.names = {name}, .key_usage = true}) == name);
  CHECK(verdict(CsrRecipe{.must_staple = true, .second_request = {name}}) == "must_staple");
}

TEST_CASE("two alternative name extensions, or two of any other kind, are refused") {
  const CsrRecipe twice{.names = {name}, .second_request = {"b.example"}};
  CHECK(verdict(twice) == "unreadable");
  CHECK(sentence(twice) == "the CSR has two extensions \"X509v3 Subject Alternative Name\"");
}

TEST_CASE("names under Microsoft's identifier are refused, with what to do, whatever the common name says") {
  for (const CsrRecipe& csr :
       {CsrRecipe{.microsoft_names = {name}}, CsrRecipe{.common_name = name, .microsoft_names = {name}},
        CsrRecipe{.names = {name}, .microsoft_names = {name, "b.example"}}}) {
    CHECK(verdict(csr) == "microsoft_extension_request");
    CHECK(has(sentence(csr), "Microsoft"));
    CHECK(has(sentence(csr), "PKCS #9"));
  }
}

TEST_CASE("names under Microsoft's identifier do no harm if the same stand where CAs look") {
  CHECK(verdict(CsrRecipe{.dns_names = {name}, .microsoft_names = {name}}) == name);
}

TEST_CASE("a string with characters that its type may not hold is refused with field, type and character") {
  CHECK(verdict(with_organization(V_ASN1_PRINTABLESTRING, "Acme & Co_")) == "bad_string");
  CHECK(sentence(with_organization(V_ASN1_PRINTABLESTRING, "Acme & Co_")) ==
        "the CSR's organizationName is a PrintableString, which cannot hold \"_\": make it a UTF8String, or "
        "leave the field out");
  CHECK(verdict(with_organization(V_ASN1_PRINTABLESTRING, "joe@a.example")) == "bad_string");
  CHECK(verdict(with_organization(V_ASN1_NUMERICSTRING, "12a")) == "bad_string");
  CHECK(verdict(with_organization(V_ASN1_IA5STRING, "M\xfcller")) == "bad_string");
  CHECK(verdict(with_common_name(V_ASN1_PRINTABLESTRING, "a_b.example")) == "bad_string");
  CHECK_FALSE(has(sentence(with_organization(V_ASN1_IA5STRING, "M\xfcller")), "\xfc"));
}

TEST_CASE("a string that has no form in Unicode is refused in a sentence about strings") {
  const std::string eight = csr_der(with_organization(V_ASN1_UTF8STRING, "12345678"));
  CHECK(verdict(patched(eight, "12345678", "1234\xff\xff\xff\xff")) == "bad_string");
  const std::string two = csr_der(with_organization(V_ASN1_BMPSTRING, std::string("\0A\0B", 4)));
  CHECK(verdict(patched(two, std::string("\0A\0B", 4), std::string("\xd8\0\0B", 4))) == "bad_string");
  CHECK(verdict(patched(two, std::string("\x1e\x04\0A\0B", 6), std::string("\x1c\x04\x7f\xff\xff\xff", 6))) ==
        "bad_string");
}

TEST_CASE("strings of each type that CAs read are taken, with what their parsers bear") {
  CHECK(verdict(with_organization(V_ASN1_PRINTABLESTRING, "Acme & *Co'. (2+2=4?)")) == name);
  CHECK(verdict(with_organization(V_ASN1_UTF8STRING, "M\xc3\xbcller_")) == name);
  CHECK(verdict(with_organization(V_ASN1_T61STRING, "M\xfcller")) == name);
  CHECK(verdict(with_common_name(V_ASN1_BMPSTRING, std::string("\0a\0.\0b", 6))) == "a.b");
  CHECK(verdict(with_common_name(V_ASN1_IA5STRING, "a.b")) == "a.b");
}

TEST_CASE("a common name of a string type that CAs do not read is refused") {
  CHECK(verdict(with_common_name(V_ASN1_UNIVERSALSTRING, std::string("\0\0\0a", 4))) == "bad_string");
  const std::string der = csr_der(with_common_name(V_ASN1_IA5STRING, "a.b"));
  CHECK(verdict(patched(der,
                        "\x16\x03"
                        "a.b",
                        "\x1a\x03"
                        "a.b")) == "bad_string");  // VisibleString
}

TEST_CASE("a signature of RSA-PSS is called so") {
  const CsrRecipe csr{.names = {name}, .key = "RSA-2048", .pss_signature = true};
  CHECK(verdict(csr) == "unsupported_signature");
  CHECK(sentence(csr) ==
        "the CSR is signed with RSA-PSS, which CAs do not take: sign it with RSA PKCS #1 v1.5 and SHA-256");
}

TEST_CASE("text before a CSR may be of any kind") {
  const std::string pem = csr_pem({name});
  for (const char* text :
       {"0 s:CN = a.example\n", "Certificate Request:\n    Data:\n",
        "Copy from -----BEGIN CERTIFICATE REQUEST----- to the end.\n", "\xef\xbb\xbf", "0\xc2\xb0 C\n"})
    CHECK_MESSAGE(verdict(text + pem) == name, text);
}

TEST_CASE("a common name with NUL octets or control characters is no host name, and is shown harmlessly") {
  const CsrRecipe csr = with_common_name(V_ASN1_UTF8STRING, std::string("a.example\0.b\x1b[2J", 16));
  CHECK(verdict(csr) == "common_name_not_in_san");
  CHECK(sentence(csr).find('\0') == std::string::npos);
  CHECK(sentence(csr).find('\x1b') == std::string::npos);
}

TEST_CASE("a CSR of more than 64 KiB is not looked at") {
  CHECK(has(sentence(large_csr(crypto::max_csr_octets)), "larger than 65536 octets"));
  CHECK(verdict(large_csr(crypto::max_csr_octets - 1000)) == "long_name");
}

TEST_CASE("thousands of attributes, names or fields cost no more than moments") {
  std::vector<std::string> many;
  std::vector<SubjectField> fields;
  for (int i = 0; i < 3000; ++i) {
    many.push_back("n" + std::to_string(i) + ".example");
    fields.push_back({.name = "CN", .type = V_ASN1_UTF8STRING, .octets = "x"});
  }
  const auto start = std::chrono::steady_clock::now();
  CHECK(verdict(csr_der({.names = {name}, .more_attributes = 3000})) == name);
  CHECK(verdict(csr_der({.names = many})) == "too_many_names");
  CHECK(verdict(csr_der({.common_name = name, .subject = fields})) == name);
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(10));
}

TEST_CASE("whatever octet of a CSR is damaged, nothing crashes, and never is another name ordered") {
  const std::string der =
      csr_der({.names = {"first.example"},
               .common_name = "second.example",
               .subject = {{.name = "O", .type = V_ASN1_BMPSTRING, .octets = std::string("\0A", 2)}},
               .key_usage = true,
               .microsoft_names = {"first.example"}});
  REQUIRE(verdict(der) == "first.example second.example");
  for (std::size_t at = 0; at < der.size(); ++at)
    for (const int flip : {0x01, 0x20, 0x80, 0xff}) {
      CAPTURE(at);
      std::string damaged = der;
      damaged[at] = static_cast<char>(damaged[at] ^ flip);
      CHECK(code(damaged) != "accepted");
    }
}
