#include "support/stub_jws.hpp"

#include <openssl/core_names.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>

#include <array>
#include <optional>

#include "base/encoding.hpp"

namespace csrq::test {

namespace {

using nlohmann::json;

using NumberPtr = Held<BIGNUM, BN_free>;
using ContextPtr = Held<EVP_PKEY_CTX, EVP_PKEY_CTX_free>;
using DigestPtr = Held<EVP_MD_CTX, EVP_MD_CTX_free>;
using BuilderPtr = Held<OSSL_PARAM_BLD, OSSL_PARAM_BLD_free>;
using ParametersPtr = Held<OSSL_PARAM, OSSL_PARAM_free>;
using SignaturePtr = Held<ECDSA_SIG, ECDSA_SIG_free>;

[[noreturn]] void malformed(const std::string& what) {
  throw StubProblem(400, "malformed", what);
}

const unsigned char* octets_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

std::string member(const json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_string()) malformed(std::string("no member ") + name);
  return found->get<std::string>();
}

std::string decoded_member(const json& object, const char* name) {
  const std::optional<std::string> octets = from_base64url(member(object, name));
  if (!octets) malformed(std::string("the member ") + name + " is not base64url without padding");
  return *octets;
}

std::string sha256(std::string_view octets) {
  std::array<unsigned char, 32> digest{};
  must(EVP_Digest(octets.data(), octets.size(), digest.data(), nullptr, EVP_sha256(), nullptr) == 1,
       "SHA-256");
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

NumberPtr number(std::string_view octets) {
  return NumberPtr(BN_bin2bn(octets_of(octets), static_cast<int>(octets.size()), nullptr));
}

KeyPtr key_from(const char* algorithm, OSSL_PARAM* parameters) {
  const ContextPtr context(EVP_PKEY_CTX_new_from_name(nullptr, algorithm, nullptr));
  EVP_PKEY* key = nullptr;
  if (EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, parameters) != 1)
    throw StubProblem(400, "badPublicKey", "the key cannot be used");
  return KeyPtr(key);
}

KeyPtr ec_key(const json& jwk, const char* group, std::size_t length) {
  const std::string x = decoded_member(jwk, "x");
  const std::string y = decoded_member(jwk, "y");
  if (x.size() != length || y.size() != length)
    throw StubProblem(400, "badPublicKey", "a coordinate has the wrong length");
  const std::string point = "\x04" + x + y;
  const BuilderPtr builder(OSSL_PARAM_BLD_new());
  OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, group, 0);
  OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size());
  const ParametersPtr parameters(OSSL_PARAM_BLD_to_param(builder.get()));
  return key_from("EC", parameters.get());
}

KeyPtr rsa_key(const json& jwk) {
  const NumberPtr modulus = number(decoded_member(jwk, "n"));
  const NumberPtr exponent = number(decoded_member(jwk, "e"));
  const BuilderPtr builder(OSSL_PARAM_BLD_new());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, modulus.get());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, exponent.get());
  const ParametersPtr parameters(OSSL_PARAM_BLD_to_param(builder.get()));
  return key_from("RSA", parameters.get());
}

/// From R || S (RFC 7518 §3.4) to the ASN.1 form; empty if the length is wrong.
std::string ecdsa_signature(std::string_view raw, std::size_t half) {
  if (raw.size() != 2 * half) return {};
  const SignaturePtr signature(ECDSA_SIG_new());
  ECDSA_SIG_set0(signature.get(), number(raw.substr(0, half)).release(), number(raw.substr(half)).release());
  return encoded<i2d_ECDSA_SIG>(signature.get());
}

std::string signature_for(const StubJws& jws, const StubKey& key) {
  if (key.algorithm == "RS256") return jws.signature;
  return ecdsa_signature(jws.signature, key.algorithm == "ES384" ? 48 : 32);
}

}  // namespace

StubJws parse_jws(std::string_view body) {
  const json outer = json::parse(body, nullptr, false);
  if (!outer.is_object()) malformed("the body is not a JSON object");
  if (outer.size() != 3) malformed("the JWS must have protected, payload and signature, nothing else");
  StubJws jws;
  jws.header = json::parse(decoded_member(outer, "protected"), nullptr, false);
  if (!jws.header.is_object()) malformed("the protected header is not a JSON object");
  jws.payload = decoded_member(outer, "payload");
  jws.signature = decoded_member(outer, "signature");
  jws.signed_part = member(outer, "protected") + "." + member(outer, "payload");
  return jws;
}

std::shared_ptr<const StubKey> key_of_jwk(const json& jwk) {
  if (!jwk.is_object()) malformed("jwk is not an object");
  auto key = std::make_shared<StubKey>();
  json essential;
  const std::string type = member(jwk, "kty");
  if (type == "EC") {
    const std::string curve = member(jwk, "crv");
    if (curve != "P-256" && curve != "P-384") throw StubProblem(400, "badPublicKey", "unknown curve");
    key->key = ec_key(jwk, curve.c_str(), curve == "P-256" ? 32 : 48);
    key->algorithm = curve == "P-256" ? "ES256" : "ES384";
    essential = {{"crv", curve}, {"kty", type}, {"x", jwk["x"]}, {"y", jwk["y"]}};
  } else if (type == "RSA") {
    key->key = rsa_key(jwk);
    key->algorithm = "RS256";
    essential = {{"e", jwk["e"]}, {"kty", type}, {"n", jwk["n"]}};
  } else {
    throw StubProblem(400, "badPublicKey", "unknown kind of key");
  }
  key->thumbprint = base64url(sha256(essential.dump()));
  key->spki = encoded<i2d_PUBKEY>(key->key.get());
  return key;
}

void verify_jws(const StubJws& jws, const StubKey& key) {
  if (member(jws.header, "alg") != key.algorithm)
    throw StubProblem(400, "badSignatureAlgorithm", "the algorithm is not the key's");
  const std::string signature = signature_for(jws, key);
  const EVP_MD* digest = key.algorithm == "ES384" ? EVP_sha384() : EVP_sha256();
  const DigestPtr context(EVP_MD_CTX_new());
  const bool good = EVP_DigestVerifyInit(context.get(), nullptr, digest, nullptr, key.key.get()) == 1 &&
                    EVP_DigestVerify(context.get(), octets_of(signature), signature.size(),
                                     octets_of(jws.signed_part), jws.signed_part.size()) == 1;
  if (!good) malformed("the signature does not verify");
}

void verify_binding(const json& binding, const json& account_jwk, const std::string& new_account_url,
                    const std::string& mac_key) {
  const StubJws jws = parse_jws(binding.dump());
  if (member(jws.header, "alg") != "HS256") malformed("the binding's algorithm is not HS256");
  if (jws.header.contains("nonce")) malformed("the binding has a nonce");
  if (member(jws.header, "url") != new_account_url) malformed("the binding's url is not newAccount's");
  if (json::parse(jws.payload, nullptr, false) != account_jwk)
    malformed("the binding is not for the account's key");
  std::array<unsigned char, 32> mac{};
  unsigned int length = 0;
  HMAC(EVP_sha256(), mac_key.data(), static_cast<int>(mac_key.size()), octets_of(jws.signed_part),
       jws.signed_part.size(), mac.data(), &length);
  if (jws.signature != std::string_view(reinterpret_cast<const char*>(mac.data()), length))
    throw StubProblem(403, "unauthorized", "the binding's MAC does not verify");
}

}  // namespace csrq::test
