#include "proofs/http_01.hpp"

#include <doctest/doctest.h>

#include <stdexcept>

using namespace csrq;
using namespace csrq::proofs;

namespace {

constexpr const char* prefix = "/.well-known/acme-challenge/";

/// Knows one token.
http::Handler handler() {
  return http_01_handler([](const std::string& token) -> std::optional<std::string> {
    if (token == "known") return "known.thumbprint";
    return std::nullopt;
  });
}

http::ServerResponse answer(const std::string& target) {
  return handler()({.method = "GET", .target = target});
}

}  // namespace

TEST_CASE("http-01: the token of a target is what follows the well-known path, without the query") {
  CHECK(token_of_target(std::string(prefix) + "abc-DEF_123") == "abc-DEF_123");
  CHECK(token_of_target(std::string(prefix) + "abc?x=1&y=/..") == "abc");
}

TEST_CASE("http-01: what is no token is none") {
  for (const char* rest : {"", "?abc", "a/b", "../abc", "abc/", "a%2Fb", "a.b", "a b", "a+b"})
    CHECK_MESSAGE(!token_of_target(std::string(prefix) + rest), rest);
  CHECK(!token_of_target(std::string(prefix) + std::string(257, 'a')));
  CHECK(token_of_target(std::string(prefix) + std::string(256, 'a')));
}

TEST_CASE("http-01: other paths hold no token") {
  for (const char* target :
       {"", "/", "/abc", "/.well-known/acme-challenge", "/x/.well-known/acme-challenge/abc",
        "//.well-known/acme-challenge/abc", "/.WELL-KNOWN/acme-challenge/abc"})
    CHECK_MESSAGE(!token_of_target(target), target);
}

TEST_CASE("http-01: a known token is answered with its key authorization, octet for octet") {
  const http::ServerResponse response = answer(std::string(prefix) + "known");
  CHECK(response.status == 200);
  CHECK(response.body == "known.thumbprint");
  CHECK(response.content_type == "application/octet-stream");
}

TEST_CASE("http-01: everything else is answered 404, without echoing what was asked") {
  for (const std::string& target :
       {std::string(prefix) + "unknown", std::string("/"), std::string("/<script>")}) {
    CHECK(answer(target).status == 404);
    CHECK(answer(target).body == not_found_body);
  }
}

TEST_CASE("http-01: a look-up that fails is no 404") {
  const http::Handler failing = http_01_handler(
      [](const std::string&) -> std::optional<std::string> { throw std::runtime_error("database away"); });
  CHECK_THROWS_AS(failing({.method = "GET", .target = std::string(prefix) + "known"}), std::runtime_error);
}

TEST_CASE("http-01 proves names and addresses, not wildcards") {
  const Http01 http_01;
  CHECK(http_01.why_not({.type = IdentifierType::dns, .value = "a.example"}).empty());
  CHECK(http_01.why_not({.type = IdentifierType::ip, .value = "2001:db8::1"}).empty());
  CHECK(http_01.why_not({.type = IdentifierType::dns, .value = "*.a.example"}).find("*.a.example") !=
        std::string::npos);
}

TEST_CASE("a key authorization is token, dot, thumbprint") {
  CHECK(key_authorization("token", "thumbprint") == "token.thumbprint");
}

TEST_CASE("http-01 answers a challenge that has a token, and the answer is placed when it is in the ledger") {
  const Http01 http_01;
  const Prover prover{.account_url = "https://ca.example/account/1", .thumbprint = "thumbprint"};
  const Identifier name{.value = "a.example"};
  CHECK_FALSE(http_01.answer({.type = "http-01", .token = ""}, name, prover));
  CHECK_FALSE(http_01.answer({.type = "http-01", .token = "../up"}, name, prover));
  std::optional<Answer> answer = http_01.answer({.type = "http-01", .token = "token"}, name, prover);
  REQUIRE(answer);
  CHECK(answer->identifier.value == "a.example");
  CHECK(answer->key_authorization == "token.thumbprint");
  CHECK_FALSE(http_01.placed({&*answer, 1}, "acme"));
  CHECK(answer->is_placed);
}
