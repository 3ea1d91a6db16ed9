#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/secret.hpp"
#include "crypto/key_type.hpp"

struct evp_pkey_st;  // OpenSSL's EVP_PKEY: its headers stay in this folder

namespace csrq::crypto {

/// The half of a key that everybody may know. Immutable and shared.
class PublicKey {
 public:
  explicit PublicKey(std::shared_ptr<evp_pkey_st> key) : key_(std::move(key)) {}

  /// SHA-256 of the DER SubjectPublicKeyInfo: the identity of a key across accounts, CSRs and certificates.
  std::string spki_sha256() const;
  bool is_of(KeyType type) const;
  /// RFC 7518 §3.1: "ES256", "ES384" or "RS256"; empty: csrq does not sign with such a key.
  std::string_view jws_algorithm() const;

  evp_pkey_st* handle() const noexcept { return key_.get(); }

 private:
  std::shared_ptr<evp_pkey_st> key_;
};

/// A key that signs, wherever its private half is. Thread-safe.
class SigningKey {
 public:
  virtual ~SigningKey() = default;

  virtual const PublicKey& public_key() const = 0;
  /// By public_key().jws_algorithm(), in the form of JWS: R || S for ECDSA (RFC 7518 §3.4).
  virtual std::string sign(std::string_view text) const = 0;
};

/// A key whose private half is in this process's memory. Immutable and shared.
class PrivateKey final : public SigningKey {
 public:
  static PrivateKey generate(KeyType type);
  /// PKCS#8 or the traditional form, DER or PEM. Throws UsageError (never with key material in it).
  static PrivateKey from_text(std::string_view pem_or_der);

  /// PKCS#8 DER.
  Secret to_der() const;

  const PublicKey& public_key() const override { return public_key_; }
  std::string sign(std::string_view text) const override;

 private:
  explicit PrivateKey(evp_pkey_st* key);
  std::shared_ptr<evp_pkey_st> key_;
  PublicKey public_key_;
};

}  // namespace csrq::crypto
