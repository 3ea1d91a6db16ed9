#include "crypto/key.hpp"

#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <array>

#include "base/error.hpp"
#include "crypto/digest.hpp"
#include "crypto/openssl.hpp"

namespace csrq::crypto {
namespace {

EVP_PKEY* generated(KeyType type) {
  switch (type) {
    case KeyType::ec_p256:
      return EVP_EC_gen("P-256");
    case KeyType::ec_p384:
      return EVP_EC_gen("P-384");
    case KeyType::rsa_2048:
      return EVP_RSA_gen(2048);
    case KeyType::rsa_3072:
      return EVP_RSA_gen(3072);
    case KeyType::rsa_4096:
      return EVP_RSA_gen(4096);
  }
  return nullptr;
}

/// Never asks at a terminal for the password of an encrypted key.
int no_password(char*, int, int, void*) {
  return -1;
}

EVP_PKEY* read_key(std::string_view text) {
  const int size = static_cast<int>(text.size());
  if (text.find("-----BEGIN ") == std::string_view::npos) {
    const unsigned char* end = octets_of(text);
    return d2i_AutoPrivateKey(nullptr, &end, size);
  }
  const OwnedBio bio(BIO_new_mem_buf(text.data(), size));
  return PEM_read_bio_PrivateKey(bio.get(), nullptr, no_password, nullptr);
}

std::string_view algorithm_of(const EVP_PKEY* key) {
  constexpr int smallest_rsa = 2048;
  if (EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA) return EVP_PKEY_get_bits(key) >= smallest_rsa ? "RS256" : "";
  std::array<char, 64> curve{};
  if (EVP_PKEY_get_group_name(key, curve.data(), curve.size(), nullptr) != 1) return {};
  const std::string_view name = curve.data();
  return name == "prime256v1" ? "ES256" : name == "secp384r1" ? "ES384" : "";
}

std::shared_ptr<EVP_PKEY> public_half(EVP_PKEY* key) {
  const std::string der = der_of<i2d_PUBKEY>(key);
  const unsigned char* end = octets_of(std::string_view(der));
  std::shared_ptr<EVP_PKEY> half(d2i_PUBKEY(nullptr, &end, static_cast<long>(der.size())),
                                 Free<EVP_PKEY_free>{});
  check(half ? 1 : 0, "reading the public half of a key");
  return half;
}

/// Octets of each half of an ECDSA signature (RFC 7518 §3.4).
int half_length(const EVP_PKEY* key) {
  return (EVP_PKEY_get_bits(key) + 7) / 8;
}

std::string signature_of(EVP_PKEY* key, const EVP_MD* digest, std::string_view text) {
  const OwnedDigestContext context(EVP_MD_CTX_new());
  check(EVP_DigestSignInit(context.get(), nullptr, digest, nullptr, key), "signing");
  std::size_t length = 0;
  check(EVP_DigestSign(context.get(), nullptr, &length, octets_of(text), text.size()), "signing");
  std::string signature(length, '\0');
  check(EVP_DigestSign(context.get(), octets_of(signature), &length, octets_of(text), text.size()),
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

}  // namespace

std::string PublicKey::spki_sha256() const {
  return sha256(der_of<i2d_PUBKEY>(handle()));
}

bool PublicKey::is_of(KeyType type) const {
  switch (type) {
    case KeyType::ec_p256:
      return jws_algorithm() == "ES256";
    case KeyType::ec_p384:
      return jws_algorithm() == "ES384";
    case KeyType::rsa_2048:
      return jws_algorithm() == "RS256" && EVP_PKEY_get_bits(handle()) == 2048;
    case KeyType::rsa_3072:
      return jws_algorithm() == "RS256" && EVP_PKEY_get_bits(handle()) == 3072;
    case KeyType::rsa_4096:
      return jws_algorithm() == "RS256" && EVP_PKEY_get_bits(handle()) == 4096;
  }
  return false;
}

std::string_view PublicKey::jws_algorithm() const {
  return algorithm_of(handle());
}

PrivateKey::PrivateKey(evp_pkey_st* key) : key_(key, Free<EVP_PKEY_free>{}), public_key_(public_half(key)) {}

PrivateKey PrivateKey::generate(KeyType type) {
  EVP_PKEY* key = generated(type);
  check(key ? 1 : 0, "making a key");
  return PrivateKey(key);
}

PrivateKey PrivateKey::from_text(std::string_view pem_or_der) {
  EVP_PKEY* key = read_key(pem_or_der);
  if (!key) {
    take_openssl_error();
    throw UsageError("the account key cannot be read: it must be PKCS#8, PEM or DER, and not encrypted");
  }
  PrivateKey owned(key);
  if (algorithm_of(key).empty())
    throw UsageError(
        "the account key is of a kind that csrq does not sign with: use P-256, P-384, or RSA of at least "
        "2048 bits");
  return owned;
}

Secret PrivateKey::to_der() const {
  const Owned<PKCS8_PRIV_KEY_INFO, PKCS8_PRIV_KEY_INFO_free> info(EVP_PKEY2PKCS8(key_.get()));
  check(info ? 1 : 0, "encoding a key");
  return Secret(der_of<i2d_PKCS8_PRIV_KEY_INFO>(info.get()));
}

std::string PrivateKey::sign(std::string_view text) const {
  const std::string_view algorithm = public_key_.jws_algorithm();
  std::string signature = signature_of(key_.get(), algorithm == "ES384" ? EVP_sha384() : EVP_sha256(), text);
  return algorithm == "RS256" ? signature : joined_halves(signature, half_length(key_.get()));
}

}  // namespace csrq::crypto
