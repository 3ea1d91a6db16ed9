#include "crypto/jws.hpp"

#include <doctest/doctest.h>
#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>

#include <memory>

#include <nlohmann/json.hpp>

#include "base/encoding.hpp"

using namespace csrq;
using crypto::KeyType;
using crypto::PrivateKey;
using nlohmann::json;

namespace {

/// Of appendix A.3.
PrivateKey key_of_rfc_7515() {
  // OpenSSL completes the public half, so only the private one of the appendix is needed.
  const std::string d = *from_base64url("jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI");
  const std::string prefix = *from_base64("MEECAQAwEwYHKoZIzj0CAQYIKoZIzj0DAQcEJzAlAgEBBCA=");
  return PrivateKey::from_text(prefix + d);
}

bool verifies(const PrivateKey& key, const EVP_MD* digest, std::string_view input,
              const std::string& signature) {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  REQUIRE(EVP_DigestVerifyInit(context.get(), nullptr, digest, nullptr, key.public_key().handle()) == 1);
  return EVP_DigestVerify(context.get(), reinterpret_cast<const unsigned char*>(signature.data()),
                          signature.size(), reinterpret_cast<const unsigned char*>(input.data()),
                          input.size()) == 1;
}

/// From R || S to the form that OpenSSL takes.
std::string as_asn1(const std::string& halves) {
  const auto half = [&](std::size_t at) {
    return BN_bin2bn(reinterpret_cast<const unsigned char*>(halves.data()) + at,
                     static_cast<int>(halves.size() / 2), nullptr);
  };
  const std::unique_ptr<ECDSA_SIG, decltype(&ECDSA_SIG_free)> signature(ECDSA_SIG_new(), ECDSA_SIG_free);
  REQUIRE(ECDSA_SIG_set0(signature.get(), half(0), half(halves.size() / 2)) == 1);
  unsigned char* der = nullptr;
  const int length = i2d_ECDSA_SIG(signature.get(), &der);
  std::string result(reinterpret_cast<char*>(der), static_cast<std::size_t>(length));
  OPENSSL_free(der);
  return result;
}

struct Signed {
  json header;
  std::string payload;
  std::string input;
  std::string signature;
};

Signed read(const std::string& text) {
  const json jws = json::parse(text);
  REQUIRE(jws.size() == 3);
  const std::string header = jws.at("protected");
  const std::string payload = jws.at("payload");
  return {.header = json::parse(*from_base64url(header)),
          .payload = *from_base64url(payload),
          .input = header + "." + payload,
          .signature = *from_base64url(jws.at("signature").get<std::string>())};
}

}  // namespace

TEST_CASE("the JWK of RFC 7515 appendix A.3 is made from its key, members in the order of RFC 7638") {
  CHECK(
      crypto::jwk(key_of_rfc_7515().public_key()) ==
      R"({"crv":"P-256","kty":"EC","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"})");
}

TEST_CASE("a thumbprint is the SHA-256 of the JWK") {
  // printf '%s' JWK | openssl dgst -sha256 -binary | basenc --base64url
  CHECK(crypto::thumbprint(key_of_rfc_7515().public_key()) == "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U");
}

TEST_CASE(
    "a request signed with a P-256 key carries nonce and url, and its signature is R and S of 32 octets "
    "each") {
  const PrivateKey key = key_of_rfc_7515();
  const Signed made =
      read(crypto::sign(key, {.url = "https://ca.example/acct", .nonce = "n-1", .kid = {}}, R"({"a":1})"));
  CHECK(made.header == json{{"alg", "ES256"},
                            {"jwk", json::parse(crypto::jwk(key.public_key()))},
                            {"nonce", "n-1"},
                            {"url", "https://ca.example/acct"}});
  CHECK(made.payload == R"({"a":1})");
  REQUIRE(made.signature.size() == 64);
  CHECK(verifies(key, EVP_sha256(), made.input, as_asn1(made.signature)));
}

TEST_CASE("a request of an account carries kid instead of jwk, and POST-as-GET an empty payload") {
  const Signed made = read(
      crypto::sign(key_of_rfc_7515(),
                   {.url = "https://ca.example/o", .nonce = "n", .kid = "https://ca.example/acct/1"}, {}));
  CHECK(made.header.at("kid") == "https://ca.example/acct/1");
  CHECK_FALSE(made.header.contains("jwk"));
  CHECK(made.payload.empty());
}

TEST_CASE("the inner JWS of a key change carries the new key's jwk and no nonce") {
  const PrivateKey key = key_of_rfc_7515();
  const Signed made = read(crypto::sign(key, {.url = "https://ca.example/key-change"}, "{}"));
  CHECK(made.header == json{{"alg", "ES256"},
                            {"jwk", json::parse(crypto::jwk(key.public_key()))},
                            {"url", "https://ca.example/key-change"}});
}

TEST_CASE("a key that is not in memory signs by its own means, over header and payload") {
  class TokenKey final : public crypto::SigningKey {
   public:
    const crypto::PublicKey& public_key() const override { return known_.public_key(); }
    std::string sign(std::string_view text) const override { return "signed: " + std::string(text); }

   private:
    PrivateKey known_{PrivateKey::generate(KeyType::ec_p384)};
  };
  const Signed made = read(crypto::sign(TokenKey(), {.url = "https://ca.example", .nonce = "n"}, "x"));
  CHECK(made.header.at("alg") == "ES384");
  CHECK(made.signature == "signed: " + made.input);
}

TEST_CASE("P-384 signs ES384 with halves of 48 octets") {
  const PrivateKey key = PrivateKey::generate(KeyType::ec_p384);
  const Signed made = read(crypto::sign(key, {.url = "https://ca.example", .nonce = "n", .kid = {}}, "x"));
  CHECK(made.header.at("alg") == "ES384");
  CHECK(made.header.at("jwk").at("crv") == "P-384");
  CHECK(from_base64url(made.header.at("jwk").at("x").get<std::string>())->size() == 48);
  REQUIRE(made.signature.size() == 96);
  CHECK(verifies(key, EVP_sha384(), made.input, as_asn1(made.signature)));
}

TEST_CASE("RSA signs RS256, and its JWK has the numbers without leading zeros") {
  const PrivateKey key = PrivateKey::generate(KeyType::rsa_2048);
  const Signed made = read(crypto::sign(key, {.url = "https://ca.example", .nonce = "n", .kid = {}}, "x"));
  CHECK(made.header.at("alg") == "RS256");
  CHECK(made.header.at("jwk").at("e") == "AQAB");
  CHECK(from_base64url(made.header.at("jwk").at("n").get<std::string>())->size() == 256);
  CHECK(verifies(key, EVP_sha256(), made.input, made.signature));
}

TEST_CASE("an external account binding is HS256 over the account's JWK under the CA's key") {
  const Signed made =
      read(crypto::external_account_binding(R"({"kty":"EC"})", "kid-1", "secret", "https://ca.example/new"));
  CHECK(made.header == json{{"alg", "HS256"}, {"kid", "kid-1"}, {"url", "https://ca.example/new"}});
  CHECK(made.payload == R"({"kty":"EC"})");
  // printf '%s' PROTECTED.PAYLOAD | openssl dgst -sha256 -hmac secret
  CHECK(hex(made.signature) == "cf3966046d13365f5f6304b8113a4948da3b74dd4f3d9328ec3f3a82fd8194b0");
}
