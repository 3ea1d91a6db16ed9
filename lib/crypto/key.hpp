#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/secret.hpp"
#include "crypto/key_type.hpp"

struct evp_pkey_st;  // OpenSSL's EVP_PKEY: its headers stay in this folder

namespace csrq::crypto {

/// An account key. Immutable and shared: signing from several threads at once is safe.
class PrivateKey {
 public:
  static PrivateKey generate(KeyType type);
  /// PKCS#8 or the traditional form, DER or PEM. Throws UsageError (never with key material in it).
  static PrivateKey from_text(std::string_view pem_or_der);

  /// PKCS#8 DER.
  Secret to_der() const;
  /// SHA-256 of the DER SubjectPublicKeyInfo: the identity of a key across accounts, CSRs and certificates.
  std::string spki_sha256() const;
  bool is_of(KeyType type) const;
  /// RFC 7518 §3.1: "ES256", "ES384" or "RS256".
  std::string_view jws_algorithm() const;

  evp_pkey_st* handle() const noexcept { return key_.get(); }

 private:
  explicit PrivateKey(evp_pkey_st* key);
  std::shared_ptr<evp_pkey_st> key_;
};

}  // namespace csrq::crypto
