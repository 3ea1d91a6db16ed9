#pragma once

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/identifier.hpp"

/// Private to this folder: OpenSSL's objects with owners, its results as strings.
namespace csrq::crypto {

template <auto free_function>
struct Free {
  template <class Object>
  void operator()(Object* object) const {
    free_function(object);
  }
};
template <class Object, auto free_function>
using Owned = std::unique_ptr<Object, Free<free_function>>;

inline void free_names(GENERAL_NAMES* names) {
  GENERAL_NAMES_free(names);
}
inline void free_extensions(STACK_OF(X509_EXTENSION) * extensions) {
  sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
}

using OwnedBio = Owned<BIO, BIO_free_all>;
using OwnedBignum = Owned<BIGNUM, BN_free>;
using OwnedKey = Owned<EVP_PKEY, EVP_PKEY_free>;
using OwnedKeyContext = Owned<EVP_PKEY_CTX, EVP_PKEY_CTX_free>;
using OwnedDigestContext = Owned<EVP_MD_CTX, EVP_MD_CTX_free>;
using OwnedCipherContext = Owned<EVP_CIPHER_CTX, EVP_CIPHER_CTX_free>;
using OwnedEcdsaSignature = Owned<ECDSA_SIG, ECDSA_SIG_free>;
using OwnedCertificate = Owned<X509, X509_free>;
using OwnedRequest = Owned<X509_REQ, X509_REQ_free>;
using OwnedNames = Owned<GENERAL_NAMES, free_names>;
using OwnedExtensions = Owned<STACK_OF(X509_EXTENSION), free_extensions>;

inline unsigned char* octets_of(std::string& octets) {
  return reinterpret_cast<unsigned char*>(octets.data());
}
inline const unsigned char* octets_of(std::string_view octets) {
  return reinterpret_cast<const unsigned char*>(octets.data());
}

/// The first error OpenSSL has noted on this thread, for people; the notes are cleared.
std::string take_openssl_error();

/// Throws std::runtime_error naming `what` if `result` is not 1. For calls that fail only when the library
/// does.
void check(int result, const char* what);

/// The DER that an i2d_… function writes; empty if it fails.
template <auto encode, class Object>
std::string der_of(Object* object) {
  const int length = encode(object, nullptr);
  if (length <= 0) return {};
  std::string der(static_cast<std::size_t>(length), '\0');
  unsigned char* end = octets_of(der);
  encode(object, &end);
  return der;
}

/// Null if `der` is no such object, or if anything follows it.
template <auto decode>
auto from_der(std::string_view der) {
  const unsigned char* end = octets_of(der);
  auto* object = decode(nullptr, &end, static_cast<long>(der.size()));
  return std::pair{object, end == octets_of(der) + der.size()};
}

/// As from_der(), for a CSR or a certificate. Its public key stays undecoded, since decoding takes OpenSSL
/// 3.0 forty times as long. public_key() decodes it; X509_get0_pubkey() and its kin find none.
void* from_der_without_key(std::string_view der, const ASN1_ITEM* kind, bool& whole);

/// Null if it cannot be decoded; OpenSSL's errors say why.
OwnedKey public_key(X509_PUBKEY* encoded);

/// Big-endian, filled up with zeros to `length` octets; 0: as short as it goes.
std::string octets_of_number(const BIGNUM* number, int length = 0);

std::string text_of(const ASN1_STRING* string);
/// Every common name, in the order of the subject, as UTF-8; one that has no UTF-8 form as its octets.
std::vector<std::string> common_names_of(const X509_NAME* name);

/// A subject alternative name by kind.
struct AlternativeNames {
  std::vector<std::string> dns{};  ///< as written
  std::vector<std::string> ip{};   ///< canonical text; "invalid" for one that is neither 4 nor 16 octets
  std::vector<std::string> emails{};
  std::vector<std::string> uris{};
  bool others{};  ///< names of another kind
};
AlternativeNames alternative_names(const GENERAL_NAMES& names);

}  // namespace csrq::crypto
