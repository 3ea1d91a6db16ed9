#include "crypto/jws.hpp"

#include <openssl/core_names.h>

#include <nlohmann/json.hpp>

#include "base/encoding.hpp"
#include "crypto/digest.hpp"
#include "crypto/openssl.hpp"

namespace csrq::crypto {
namespace {

using nlohmann::json;

OwnedBignum number_of(const PublicKey& key, const char* name) {
  BIGNUM* number = nullptr;
  check(EVP_PKEY_get_bn_param(key.handle(), name, &number), "reading a key");
  return OwnedBignum(number);
}

/// RFC 7518 §6.2.1.2.
int coordinate_length(const PublicKey& key) {
  return (EVP_PKEY_get_bits(key.handle()) + 7) / 8;
}

json jwk_of(const PublicKey& key) {
  if (key.jws_algorithm() == "RS256")
    return {{"e", base64url(octets_of_number(number_of(key, OSSL_PKEY_PARAM_RSA_E).get()))},
            {"kty", "RSA"},
            {"n", base64url(octets_of_number(number_of(key, OSSL_PKEY_PARAM_RSA_N).get()))}};
  const int length = coordinate_length(key);
  return {{"crv", key.jws_algorithm() == "ES384" ? "P-384" : "P-256"},
          {"kty", "EC"},
          {"x", base64url(octets_of_number(number_of(key, OSSL_PKEY_PARAM_EC_PUB_X).get(), length))},
          {"y", base64url(octets_of_number(number_of(key, OSSL_PKEY_PARAM_EC_PUB_Y).get(), length))}};
}

/// Header and payload as they are signed, then all three parts as JSON.
template <class Sign>
std::string flattened(const json& header, std::string_view payload, const Sign& sign) {
  const std::string protected_part = base64url(header.dump());
  const std::string payload_part = base64url(payload);
  const std::string signature = sign(protected_part + "." + payload_part);
  return R"({"protected":")" + protected_part + R"(","payload":")" + payload_part + R"(","signature":")" +
         base64url(signature) + R"("})";
}

}  // namespace

std::string jwk(const PublicKey& key) {
  return jwk_of(key).dump();
}

std::string thumbprint(const PublicKey& key) {
  return base64url(sha256(jwk(key)));
}

std::string sign(const SigningKey& key, const JwsHeader& header, std::string_view payload) {
  json protected_header{{"alg", key.public_key().jws_algorithm()}, {"url", header.url}};
  if (!header.nonce.empty()) protected_header["nonce"] = header.nonce;
  if (header.kid.empty())
    protected_header["jwk"] = jwk_of(key.public_key());
  else
    protected_header["kid"] = header.kid;
  return flattened(protected_header, payload, [&](const std::string& input) { return key.sign(input); });
}

std::string external_account_binding(std::string_view account_jwk, std::string_view kid,
                                     std::string_view mac_key, std::string_view new_account_url) {
  const json header{{"alg", "HS256"}, {"kid", kid}, {"url", new_account_url}};
  return flattened(header, account_jwk,
                   [&](const std::string& input) { return hmac_sha256(mac_key, input); });
}

}  // namespace csrq::crypto
