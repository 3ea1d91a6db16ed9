#include "crypto/jws.hpp"

#include <openssl/core_names.h>

#include <nlohmann/json.hpp>

#include "base/encoding.hpp"
#include "crypto/digest.hpp"
#include "crypto/openssl.hpp"

namespace csrq::crypto {
namespace {

using nlohmann::json;

OwnedBignum number_of(const PrivateKey& key, const char* name) {
  BIGNUM* number = nullptr;
  check(EVP_PKEY_get_bn_param(key.handle(), name, &number), "reading a key");
  return OwnedBignum(number);
}

/// Big-endian, filled up with zeros to `length` octets; 0: as short as it goes.
std::string octets_of_number(const BIGNUM* number, int length = 0) {
  if (length == 0) length = BN_num_bytes(number);
  std::string octets(static_cast<std::size_t>(length), '\0');
  check(BN_bn2binpad(number, octets_of(octets), length) == length ? 1 : 0, "writing a number");
  return octets;
}

/// Octets of a coordinate, and of each half of a signature (RFC 7518 §3.4).
int coordinate_length(const PrivateKey& key) {
  return (EVP_PKEY_get_bits(key.handle()) + 7) / 8;
}

json jwk_of(const PrivateKey& key) {
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

std::string signature_of(const PrivateKey& key, std::string_view input) {
  const EVP_MD* digest = key.jws_algorithm() == "ES384" ? EVP_sha384() : EVP_sha256();
  const OwnedDigestContext context(EVP_MD_CTX_new());
  check(EVP_DigestSignInit(context.get(), nullptr, digest, nullptr, key.handle()), "signing");
  std::size_t length = 0;
  check(EVP_DigestSign(context.get(), nullptr, &length, octets_of(input), input.size()), "signing");
  std::string signature(length, '\0');
  check(EVP_DigestSign(context.get(), octets_of(signature), &length, octets_of(input), input.size()),
        "signing");
  signature.resize(length);
  return signature;
}

/// From the ASN.1 form of an ECDSA signature to R || S.
std::string joined_halves(const std::string& der, int length) {
  const OwnedEcdsaSignature signature(from_der<d2i_ECDSA_SIG>(der).first);
  check(signature ? 1 : 0, "reading a signature");
  return octets_of_number(ECDSA_SIG_get0_r(signature.get()), length) +
         octets_of_number(ECDSA_SIG_get0_s(signature.get()), length);
}

std::string jose_signature(const PrivateKey& key, std::string_view input) {
  std::string signature = signature_of(key, input);
  return key.jws_algorithm() == "RS256" ? signature : joined_halves(signature, coordinate_length(key));
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

std::string jwk(const PrivateKey& key) {
  return jwk_of(key).dump();
}

std::string thumbprint(const PrivateKey& key) {
  return base64url(sha256(jwk(key)));
}

std::string sign(const PrivateKey& key, const JwsHeader& header, std::string_view payload) {
  json protected_header{{"alg", key.jws_algorithm()}, {"nonce", header.nonce}, {"url", header.url}};
  if (header.kid.empty())
    protected_header["jwk"] = jwk_of(key);
  else
    protected_header["kid"] = header.kid;
  return flattened(protected_header, payload,
                   [&](const std::string& input) { return jose_signature(key, input); });
}

std::string external_account_binding(std::string_view account_jwk, std::string_view kid,
                                     std::string_view mac_key, std::string_view new_account_url) {
  const json header{{"alg", "HS256"}, {"kid", kid}, {"url", new_account_url}};
  return flattened(header, account_jwk,
                   [&](const std::string& input) { return hmac_sha256(mac_key, input); });
}

}  // namespace csrq::crypto
