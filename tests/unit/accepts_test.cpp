#include <doctest/doctest.h>
#include <openssl/asn1.h>

#include "config/config.hpp"
#include "support/preflight_verdict.hpp"

using namespace csrq;
using namespace csrq::test;

namespace {

/// As configured for a CA with this directory; `accepts` is a YAML mapping.
AcceptsConfig accepts_at(const std::string& directory, const std::string& accepts = "{}") {
  return parse_config("cas: { ca: { directory: \"" + directory + "\", accepts: " + accepts + " } }",
                      "csrq.yaml")
      .cas.at("ca")
      .accepts;
}

AcceptsConfig configured(const std::string& accepts) {
  return accepts_at("https://ca.example/dir", accepts);
}

AcceptsConfig lets_encrypt() {
  return accepts_at("https://acme-v02.api.letsencrypt.org/directory");
}

std::string code_of_key(const std::string& key, const AcceptsConfig& accepts) {
  return code(CsrRecipe{.names = {"a.example"}, .key = key}, accepts);
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE(
    "a CA that csrq knows nothing of takes RSA of 2048 to 4096 bits, any usual exponent, P-256, P-384") {
  for (const char* key :
       {"RSA-2048", "RSA-2056", "RSA-4096", "RSA-2048 e=3", "RSA-2048 e=17", "P-256", "P-384"})
    CHECK_MESSAGE(code_of_key(key, {}) == "accepted", key);
  for (const char* key : {"RSA-1024", "RSA-4104", "RSA-2048 e=8589934593", "P-521", "Ed25519"})
    CHECK_MESSAGE(code_of_key(key, {}) == "unsupported_key", key);
}

TEST_CASE("Let's Encrypt, production and staging, takes RSA 2048, 3072 and 4096 with exponent 65537") {
  for (const char* directory : {"https://acme-v02.api.letsencrypt.org/directory",
                                "https://acme-staging-v02.api.letsencrypt.org/directory"}) {
    CAPTURE(directory);
    const AcceptsConfig accepts = accepts_at(directory);
    for (const char* key : {"RSA-2048", "RSA-3072", "RSA-4096", "P-256", "P-384"})
      CHECK_MESSAGE(code_of_key(key, accepts) == "accepted", key);
    for (const char* key : {"RSA-2056", "RSA-2048 e=3", "P-521", "Ed25519"})
      CHECK_MESSAGE(code_of_key(key, accepts) == "unsupported_key", key);
  }
}

TEST_CASE("a key that a CA does not take is refused with those that it takes") {
  CHECK(sentence(CsrRecipe{.names = {"a.example"}, .key = "RSA-2056"}, lets_encrypt()) ==
        "the CSR's key is RSA 2056; this CA takes RSA 2048, RSA 3072, RSA 4096, P-256, P-384");
  CHECK(sentence(CsrRecipe{.names = {"a.example"}, .key = "P-521"}) ==
        "the CSR's key is P-521; this CA takes RSA of 2048 to 4096 bits, P-256, P-384");
  CHECK(has(sentence(CsrRecipe{.names = {"a.example"}, .key = "RSA-2048 e=3"}, lets_encrypt()), "65537"));
}

TEST_CASE("accepts.keys names the only keys that a CA takes: P-521 and Ed25519, too") {
  const AcceptsConfig accepts = configured("{ keys: [ec-p521, ed25519, rsa-3072] }");
  for (const char* key : {"P-521", "Ed25519", "RSA-3072"})
    CHECK_MESSAGE(code_of_key(key, accepts) == "accepted", key);
  for (const char* key : {"P-256", "RSA-2048"})
    CHECK_MESSAGE(code_of_key(key, accepts) == "unsupported_key", key);
  CHECK(code_of_key("RSA-2056", configured("{ keys: [rsa] }")) == "accepted");
}

TEST_CASE("what is configured of Let's Encrypt overrides what csrq knows of it, key by key") {
  const AcceptsConfig accepts =
      accepts_at("https://acme-v02.api.letsencrypt.org/directory", "{ keys: [rsa-2048], must_staple: true }");
  CHECK(code_of_key("P-256", accepts) == "unsupported_key");
  CHECK(code_of_key("RSA-2048 e=3", accepts) == "unsupported_key");
  CHECK(accepts.must_staple);
  CHECK_FALSE(accepts.single_labels);
}

TEST_CASE("a host name in the common name is one of the names, with or without others") {
  CHECK(verdict(CsrRecipe{.common_name = "A.Example"}) == "a.example");
  CHECK(verdict(CsrRecipe{.common_name = "A.Example"}, lets_encrypt()) == "a.example");
  CHECK(verdict(CsrRecipe{.names = {"b.example", "192.0.2.1"}, .common_name = "a.example"}) ==
        "192.0.2.1 a.example b.example");
  CHECK(verdict(CsrRecipe{.names = {"a.example"}, .common_name = "A.Example"}) == "a.example");
}

TEST_CASE("max_names counts the common name") {
  CHECK(code(CsrRecipe{.names = {"a.example", "b.example"}, .common_name = "c.example"}, 2) ==
        "too_many_names");
  CHECK(code(CsrRecipe{.names = {"a.example", "b.example"}, .common_name = "b.example"}, 2) == "accepted");
}

TEST_CASE("a wildcard in the common name covers the other names as any does") {
  CHECK(code(CsrRecipe{.names = {"www.a.example"}, .common_name = "*.a.example"}) == "overlapping_wildcard");
}

TEST_CASE("a common name that is no host name is refused: a CA would take it for one") {
  for (const char* name : {"My Server", "acme_1.example", "a.example.", "-", "a..example"}) {
    CAPTURE(name);
    const CsrRecipe csr{.names = {"a.example"}, .common_name = name};
    CHECK(code(csr) == "common_name_not_in_san");
    CHECK(has(sentence(csr), "is no host name"));
    CHECK(code(csr, lets_encrypt()) == "common_name_not_in_san");
  }
}

TEST_CASE("accepts.display_common_name: a common name that is no host name is passed by") {
  const AcceptsConfig accepts = configured("{ display_common_name: true }");
  for (const char* name : {"My Server", "192.0.2.1", "acme_1.example"})
    CHECK(verdict(CsrRecipe{.names = {"a.example"}, .common_name = name}, accepts) == "a.example");
  CHECK(verdict(CsrRecipe{.common_name = "My Server"}, accepts) == "no_names");
  CHECK(verdict(CsrRecipe{.names = {"a.example"}, .common_name = "b.example"}, accepts) ==
        "a.example b.example");
}

TEST_CASE("accepts.common_name_only: false refuses a name that the common name has alone") {
  const AcceptsConfig accepts = configured("{ common_name_only: false }");
  CHECK(verdict(CsrRecipe{.common_name = "a.example"}, accepts) == "common_name_not_in_san");
  CHECK(verdict(CsrRecipe{.names = {"b.example"}, .common_name = "a.example"}, accepts) ==
        "common_name_not_in_san");
  CHECK(verdict(CsrRecipe{.names = {"a.example"}, .common_name = "a.example"}, accepts) == "a.example");
}

TEST_CASE("an IP address in the common name is refused, even if it is an alternative name: CAs do so") {
  CHECK(code(CsrRecipe{.names = {"192.0.2.1"}, .common_name = "192.0.2.1"}) == "ip_in_common_name");
  CHECK(code(CsrRecipe{.common_name = "2001:db8::1"}, lets_encrypt()) == "ip_in_common_name");
}

TEST_CASE("of several common names the last one counts, as CAs read them") {
  const auto csr = [](const std::string& first) {
    return CsrRecipe{.names = {"a.example"},
                     .common_name = "b.example",
                     .subject = {{.name = "CN", .type = V_ASN1_UTF8STRING, .octets = first}}};
  };
  CHECK(verdict(csr("Users")) == "a.example b.example");
  CHECK(verdict(csr("A.example")) == "a.example b.example");
  CHECK(verdict(csr("c.example")) == "common_name_not_in_san");
}

TEST_CASE("accepts.single_labels: false, as at Let's Encrypt, refuses names without a dot") {
  const AcceptsConfig accepts = configured("{ single_labels: false }");
  CHECK(verdict(CsrRecipe{.names = {"intranet"}}) == "intranet");
  CHECK(verdict(CsrRecipe{.common_name = "intranet"}) == "intranet");
  CHECK(verdict(CsrRecipe{.names = {"intranet"}}, accepts) == "single_label");
  CHECK(verdict(CsrRecipe{.names = {"intranet"}}, lets_encrypt()) == "single_label");
  CHECK(verdict(CsrRecipe{.common_name = "intranet"}, accepts) == "common_name_not_in_san");
}

TEST_CASE("accepts.must_staple passes the TLS feature extension through") {
  const CsrRecipe csr{.names = {"a.example"}, .must_staple = true};
  CHECK(code(csr) == "must_staple");
  CHECK(code(csr, lets_encrypt()) == "must_staple");
  CHECK(code(csr, configured("{ must_staple: true }")) == "accepted");
}

TEST_CASE("accepts.other_names: ignore passes names of other kinds by") {
  const CsrRecipe csr{.names = {"a.example"},
                      .emails = {"joe@a.example"},
                      .uris = {"https://a.example"},
                      .directory_name = true};
  CHECK(verdict(csr) == "email_name");
  CHECK(verdict(csr, configured("{ other_names: refuse }")) == "email_name");
  CHECK(verdict(csr, configured("{ other_names: ignore }")) == "a.example");
}
