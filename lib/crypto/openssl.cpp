#include "crypto/openssl.hpp"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/provider.h>

#include <array>
#include <stdexcept>

namespace csrq::crypto {
namespace {

/// A library that knows no algorithm, and so decodes no key.
OSSL_LIB_CTX* library_without_algorithms() {
  static OSSL_LIB_CTX* const library = [] {
    OSSL_LIB_CTX* made = OSSL_LIB_CTX_new();
    check(made != nullptr && OSSL_PROVIDER_load(made, "null") != nullptr,
          "making an OpenSSL library context");
    return made;
  }();
  return library;
}

/// The curve's name if the key is one of a usual curve, named; else null.
const char* usual_curve(const X509_ALGOR* algorithm) {
  const ASN1_OBJECT* kind = nullptr;
  int parameter_type = V_ASN1_UNDEF;
  const void* parameter = nullptr;
  X509_ALGOR_get0(&kind, &parameter_type, &parameter, algorithm);
  if (OBJ_obj2nid(kind) != NID_X9_62_id_ecPublicKey || parameter_type != V_ASN1_OBJECT) return nullptr;
  const int curve = OBJ_obj2nid(static_cast<const ASN1_OBJECT*>(parameter));
  return curve == NID_X9_62_prime256v1 || curve == NID_secp384r1 ? OBJ_nid2sn(curve) : nullptr;
}

OwnedKey key_on_curve(const char* curve, const unsigned char* point, int size) {
  OwnedKeyContext context(EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr));
  std::array parameters{
      OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, const_cast<char*>(curve), 0),
      OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, const_cast<unsigned char*>(point),
                                        static_cast<std::size_t>(size)),
      OSSL_PARAM_construct_end()};
  EVP_PKEY* key = nullptr;
  if (EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, parameters.data()) != 1)
    return nullptr;
  return OwnedKey(key);
}

}  // namespace

std::string take_openssl_error() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return "no reason given";
  std::array<char, 256> text{};
  ERR_error_string_n(code, text.data(), text.size());
  return text.data();
}

void check(int result, const char* what) {
  if (result != 1) throw std::runtime_error(std::string(what) + " failed: " + take_openssl_error());
}

void* from_der_without_key(std::string_view der, const ASN1_ITEM* kind, bool& whole) {
  const unsigned char* end = octets_of(der);
  void* object = ASN1_item_d2i_ex(nullptr, &end, static_cast<long>(der.size()), kind,
                                  library_without_algorithms(), nullptr);
  whole = end == octets_of(der) + der.size();
  return object;
}

OwnedKey public_key(X509_PUBKEY* encoded) {
  const unsigned char* point = nullptr;
  int size = 0;
  X509_ALGOR* algorithm = nullptr;
  if (X509_PUBKEY_get0_param(nullptr, &point, &size, &algorithm, encoded) != 1) return nullptr;
  if (const char* curve = usual_curve(algorithm)) return key_on_curve(curve, point, size);
  const std::string der = der_of<i2d_X509_PUBKEY>(encoded);
  return OwnedKey(from_der<d2i_PUBKEY>(der).first);
}

std::string octets_of_number(const BIGNUM* number, int length) {
  if (length == 0) length = BN_num_bytes(number);
  std::string octets(static_cast<std::size_t>(length), '\0');
  check(BN_bn2binpad(number, octets_of(octets), length) == length ? 1 : 0, "writing a number");
  return octets;
}

std::string text_of(const ASN1_STRING* string) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(string)),
          static_cast<std::size_t>(ASN1_STRING_length(string))};
}

std::vector<std::string> common_names_of(const X509_NAME* name) {
  std::vector<std::string> found;
  for (int at = -1; (at = X509_NAME_get_index_by_NID(name, NID_commonName, at)) >= 0;) {
    const ASN1_STRING* value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at));
    unsigned char* utf8 = nullptr;
    const int length = ASN1_STRING_to_UTF8(&utf8, value);
    if (length < 0) {
      found.push_back(text_of(value));
      continue;
    }
    found.emplace_back(reinterpret_cast<const char*>(utf8), static_cast<std::size_t>(length));
    OPENSSL_free(utf8);
  }
  return found;
}

AlternativeNames alternative_names(const GENERAL_NAMES& names) {
  AlternativeNames found;
  for (int i = 0; i < sk_GENERAL_NAME_num(&names); ++i) {
    int kind = 0;
    const auto* value =
        static_cast<const ASN1_STRING*>(GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(&names, i), &kind));
    switch (kind) {
      case GEN_DNS:
        found.dns.push_back(text_of(value));
        break;
      case GEN_IPADD:
        found.ip.push_back(ip_from_octets(text_of(value)).value_or("invalid"));
        break;
      case GEN_EMAIL:
        found.emails.push_back(text_of(value));
        break;
      case GEN_URI:
        found.uris.push_back(text_of(value));
        break;
      default:
        found.others = true;
    }
  }
  return found;
}

}  // namespace csrq::crypto
