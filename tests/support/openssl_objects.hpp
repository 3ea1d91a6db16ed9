#pragma once

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

/// OpenSSL's objects with owners, for test support. Of our own, not lib/crypto's: what checks csrq must not
/// share its mistakes.
namespace csrq::test {

template <auto free_function>
struct Freed {
  template <class Object>
  void operator()(Object* object) const {
    free_function(object);
  }
};
template <class Object, auto free_function>
using Held = std::unique_ptr<Object, Freed<free_function>>;

using KeyPtr = Held<EVP_PKEY, EVP_PKEY_free>;
using CertificatePtr = Held<X509, X509_free>;
using RequestPtr = Held<X509_REQ, X509_REQ_free>;
using ExtensionPtr = Held<X509_EXTENSION, X509_EXTENSION_free>;
using NamesPtr = Held<GENERAL_NAMES, GENERAL_NAMES_free>;
using KeyContextPtr = Held<EVP_PKEY_CTX, EVP_PKEY_CTX_free>;
using DigestContextPtr = Held<EVP_MD_CTX, EVP_MD_CTX_free>;
using BignumPtr = Held<BIGNUM, BN_free>;
using BioPtr = Held<BIO, BIO_free_all>;

inline void must(bool good, const char* what) {
  if (!good) throw std::runtime_error(std::string("OpenSSL: ") + what);
}

/// Of an i2d_… function.
template <auto encode, class Object>
std::string encoded(Object* object) {
  unsigned char* octets = nullptr;
  const int length = encode(object, &octets);
  must(length > 0, "encoding");
  std::string result(reinterpret_cast<const char*>(octets), static_cast<std::size_t>(length));
  OPENSSL_free(octets);
  return result;
}

/// Of a d2i_… function; null if it is no such object.
template <auto decode>
auto decoded(std::string_view der) {
  const auto* octets = reinterpret_cast<const unsigned char*>(der.data());
  return decode(nullptr, &octets, static_cast<long>(der.size()));
}

inline KeyPtr new_p256_key() {
  KeyPtr key(EVP_EC_gen("P-256"));
  must(key != nullptr, "making a key");
  return key;
}

}  // namespace csrq::test
