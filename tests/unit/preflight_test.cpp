#include "issuance/preflight.hpp"

#include <doctest/doctest.h>

#include <algorithm>

#include "support/preflight_verdict.hpp"

using namespace csrq;
using namespace csrq::issuance;
using namespace csrq::test;

namespace {

std::string code_of_name(const std::string& name) {
  return code(CsrRecipe{.dns_names = {name}});
}

}  // namespace

TEST_CASE("preflight: names are folded: lower case, sorted, each once, addresses in canonical text") {
  const AcceptedCsr csr = accepted(
      CsrRecipe{.names = {"WWW.Example.ORG", "a.example", "www.example.org", "2001:DB8:0::1", "192.0.2.1"}});
  CHECK(csr.names == std::vector<std::string>{"192.0.2.1", "2001:db8::1", "a.example", "www.example.org"});
  REQUIRE(csr.identifiers.size() == 4);
  CHECK(csr.identifiers[0] == Identifier{.type = IdentifierType::ip, .value = "192.0.2.1"});
  CHECK(csr.identifiers[3] == Identifier{.type = IdentifierType::dns, .value = "www.example.org"});
  CHECK(csr.spki_sha256.size() == 32);
}

TEST_CASE("preflight: the CSR goes to the CA octet for octet") {
  const CsrRecipe recipe{.names = {"A.example"}};
  const std::string der = test::csr_der(recipe);
  CHECK(accepted(der).der == der);
}

TEST_CASE("preflight: P-256, P-384 and RSA of 2048 to 4096 bits pass") {
  for (const char* key : {"P-256", "P-384", "RSA-2048", "RSA-4096"})
    CHECK_MESSAGE(code(CsrRecipe{.names = {"a.example"}, .key = key}) == "accepted", key);
}

TEST_CASE("preflight unsupported_key: other keys are refused by name") {
  for (const char* key : {"P-521", "RSA-1024", "RSA-4104", "Ed25519", "secp256k1"})
    CHECK_MESSAGE(code(CsrRecipe{.names = {"a.example"}, .key = key}) == "unsupported_key", key);
  CHECK(sentence(CsrRecipe{.names = {"a.example"}, .key = "RSA-1024"}).find("RSA 1024") != std::string::npos);
}

TEST_CASE("preflight unsupported_key: keys of a usual curve in a form that CAs do not read") {
  for (const char* curve : {"P-256", "P-384"}) {
    CHECK(code(CsrRecipe{.names = {"a.example"}, .key = std::string(curve) + " explicit"}) ==
          "unsupported_key");
    CHECK(code(CsrRecipe{.names = {"a.example"}, .key = std::string(curve) + " compressed"}) ==
          "unsupported_key");
  }
  CHECK(sentence(CsrRecipe{.names = {"a.example"}, .key = "P-256 explicit"}).find("explicit parameters") !=
        std::string::npos);
  CHECK(sentence(CsrRecipe{.names = {"a.example"}, .key = "P-384 compressed"})
            .find("P-384 with a compressed point") != std::string::npos);
}

TEST_CASE("preflight: whatever octet of the key is damaged, it is refused and nothing crashes") {
  for (const char* key : {"P-256", "P-384", "RSA-2048", "Ed25519"}) {
    CAPTURE(key);
    const std::string der = test::csr_der({.names = {"a.example"}, .key = key});
    for (std::size_t at = 0; at < std::min<std::size_t>(der.size(), 160); ++at) {
      CAPTURE(at);
      std::string damaged = der;
      damaged[at] = static_cast<char>(damaged[at] ^ 1);
      CHECK(code(damaged) != "accepted");
    }
  }
}

TEST_CASE("preflight unsupported_key: a point that is not on its curve, or is none") {
  for (const char* key : {"P-256", "P-384"}) {
    CAPTURE(key);
    const std::string der = test::csr_der({.names = {"a.example"}, .key = key});
    const std::size_t octets = std::string(key) == "P-256" ? 64 : 96;
    // BIT STRING, its length, no unused bits, an uncompressed point.
    const std::string before = {'\x03', static_cast<char>(octets + 2), '\0', '\x04'};
    const std::size_t point = der.find(before) + before.size() - 1;
    REQUIRE(point < der.size());
    std::string off_curve = der;
    off_curve[point + octets] = static_cast<char>(off_curve[point + octets] ^ 1);
    CHECK(code(off_curve) == "unsupported_key");
    for (const char form : {'\x00', '\x01', '\x05', '\x06', '\xff'}) {
      std::string no_point = der;
      no_point[point] = form;
      CHECK(code(no_point) == "unsupported_key");
    }
    std::string zeros = der;
    std::fill_n(zeros.begin() + static_cast<std::ptrdiff_t>(point) + 1, octets, '\0');
    CHECK(code(zeros) == "unsupported_key");
  }
}

TEST_CASE("preflight: no sentence shows OpenSSL's words") {
  const std::string der = test::csr_der({.names = {"a.example"}});
  for (const std::string& broken : {der.substr(0, der.size() / 2), std::string("\x30\x03\x02\x01\x01", 5)}) {
    try {
      accepted(broken);
      FAIL("it was accepted");
    } catch (const Error& error) {
      CHECK(std::string_view(error.what()).find("error:") == std::string_view::npos);
    }
  }
}

TEST_CASE("preflight weak_hash: signed with SHA-1 or MD5") {
  for (const char* digest : {"SHA1", "MD5"})
    CHECK_MESSAGE(code(CsrRecipe{.names = {"a.example"}, .key = "RSA-2048", .digest = digest}) == "weak_hash",
                  digest);
  for (const char* digest : {"SHA256", "SHA384", "SHA512"})
    CHECK_MESSAGE(code(CsrRecipe{.names = {"a.example"}, .digest = digest}) == "accepted", digest);
}

TEST_CASE("preflight bad_signature: the CSR was not signed by its own key") {
  CHECK(code(CsrRecipe{.names = {"a.example"}, .broken_signature = true}) == "bad_signature");
}

TEST_CASE("preflight unreadable: what is no CSR") {
  CHECK(code(std::string()) == "unreadable");
  CHECK(code(std::string("hello")) == "unreadable");
  CHECK(code(std::string("-----BEGIN CERTIFICATE REQUEST-----\nMA==\n-----END CERTIFICATE REQUEST-----\n")) ==
        "unreadable");
  CHECK(code(std::string(1 << 20, 'x')) == "unreadable");
  const std::string csr = test::csr_pem(CsrRecipe{.names = {"a.example"}});
  CHECK(code(csr + csr) == "unreadable");
  CHECK(code(csr.substr(0, csr.size() / 2)) == "unreadable");
  CHECK(code(csr + std::string(1, '\0')) == "unreadable");
  CHECK(code(test::csr_der(CsrRecipe{.names = {"a.example"}}) + "x") == "unreadable");
}

TEST_CASE("preflight: line ends, the older label and text around the block do not matter") {
  std::string csr = test::csr_pem(CsrRecipe{.names = {"a.example"}});
  std::string crlf = "Some text\r\n";
  for (const char character : csr)
    crlf += character == '\n' ? std::string("\r\n") : std::string(1, character);
  CHECK(code(crlf) == "accepted");
  for (const char* place : {"BEGIN ", "END "})
    csr.insert(csr.find(place) + std::string_view(place).size(), "NEW ");
  CHECK(code(csr) == "accepted");
}

TEST_CASE("preflight no_names: neither DNS names nor addresses") {
  CHECK(code(CsrRecipe{}) == "no_names");
}

TEST_CASE("preflight too_many_names: counted after folding") {
  CHECK(code(CsrRecipe{.names = {"a.example", "b.example", "c.example"}}, 2) == "too_many_names");
  CHECK(code(CsrRecipe{.names = {"a.example", "b.example", "B.example"}}, 2) == "accepted");
}

TEST_CASE("preflight email_name, uri_name, other_name") {
  CHECK(code(CsrRecipe{.names = {"a.example"}, .emails = {"joe@a.example"}}) == "email_name");
  CHECK(code(CsrRecipe{.names = {"a.example"}, .uris = {"https://a.example"}}) == "uri_name");
  CHECK(code(CsrRecipe{.names = {"a.example"}, .directory_name = true}) == "other_name");
}

TEST_CASE("preflight bad_ip_address: neither 4 nor 16 octets") {
  CHECK(code(CsrRecipe{.names = {"a.example"}, .ip_octets = "12345"}) == "bad_ip_address");
}

TEST_CASE("preflight: an IPv4 address that is mapped into IPv6 is that IPv4 address, as CAs read it") {
  const std::string mapped = std::string(10, '\0') + "\xff\xff\xc0" + std::string("\0\x02\x01", 3);
  const AcceptedCsr csr = accepted(CsrRecipe{.names = {"192.0.2.1"}, .ip_octets = mapped});
  CHECK(csr.names == std::vector<std::string>{"192.0.2.1"});
  CHECK(csr.identifiers == std::vector<Identifier>{{.type = IdentifierType::ip, .value = "192.0.2.1"}});
}

TEST_CASE("preflight must_staple") {
  CHECK(code(CsrRecipe{.names = {"a.example"}, .must_staple = true}) == "must_staple");
}

TEST_CASE("preflight not_ascii: U-labels") {
  CHECK(code_of_name("b\xc3\xbc"
                     "cher.example") == "not_ascii");
  CHECK(code_of_name("xn--bcher-kva.example") == "accepted");
}

TEST_CASE("preflight trailing_dot") {
  CHECK(code_of_name("a.example.") == "trailing_dot");
}

TEST_CASE("preflight empty_label") {
  CHECK(code_of_name("a..example") == "empty_label");
  CHECK(code_of_name(".example") == "empty_label");
  CHECK(code(CsrRecipe{.names = {"a.example"}, .dns_names = {""}}) == "empty_label");
}

TEST_CASE("preflight long_label and long_name: 63 and 253 characters are the most") {
  const std::string label(63, 'a');
  CHECK(code_of_name(label + ".example") == "accepted");
  CHECK(code_of_name(label + "a.example") == "long_label");
  const std::string longest = label + "." + label + "." + label + "." + std::string(61, 'a');
  CHECK(longest.size() == 253);
  CHECK(code_of_name(longest) == "accepted");
  CHECK(code_of_name(longest + "a") == "long_name");
}

TEST_CASE("preflight underscore") {
  CHECK(code_of_name("_dmarc.example.org") == "underscore");
}

TEST_CASE("preflight bad_character: what is no host name is shown harmlessly") {
  for (const char* name : {"a b.example", "-a.example", "a-.example", "a@b.example", "a\nb.example", "a;b"})
    CHECK_MESSAGE(code_of_name(name) == "bad_character", name);
  CHECK(code_of_name(std::string("a\0b.example", 11)) == "bad_character");
  CHECK(sentence(CsrRecipe{.dns_names = {"a\x1b[2Jb.example"}}).find('\x1b') == std::string::npos);
}

TEST_CASE("preflight bad_wildcard: an asterisk anywhere but as the whole first label") {
  for (const char* name : {"*", "*.org", "a.*.example", "*.*.example", "a*.example.org", "**.example.org"})
    CHECK_MESSAGE(code_of_name(name) == "bad_wildcard", name);
}

TEST_CASE("preflight ip_as_dns_name") {
  CHECK(code_of_name("192.0.2.1") == "ip_as_dns_name");
  CHECK(code_of_name("2001:db8::1") == "ip_as_dns_name");
}

TEST_CASE("preflight overlapping_wildcard: a name that a wildcard of the same CSR covers") {
  CHECK(code(CsrRecipe{.names = {"*.example.org", "www.example.org"}}) == "overlapping_wildcard");
  // Neither the name itself nor one two levels below is covered: what is wrong is the challenge.
  CHECK(code(CsrRecipe{.names = {"*.example.org", "example.org"}}) == "cannot_prove");
  CHECK(code(CsrRecipe{.names = {"*.example.org", "a.b.example.org"}}) == "cannot_prove");
}

TEST_CASE("preflight cannot_prove: the challenge type does not do for a name") {
  CHECK(code(CsrRecipe{.names = {"*.example.org"}}) == "cannot_prove");
  CHECK(sentence(CsrRecipe{.names = {"*.example.org"}}).find("http-01") != std::string::npos);
}
