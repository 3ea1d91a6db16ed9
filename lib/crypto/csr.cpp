#include "crypto/csr.hpp"

#include <openssl/core_names.h>
#include <openssl/ec.h>

#include <array>
#include <stdexcept>

#include "base/error.hpp"
#include "crypto/digest.hpp"
#include "crypto/openssl.hpp"
#include "crypto/pem.hpp"

namespace csrq::crypto {
namespace {

constexpr char der_sequence = '\x30';
/// A larger key is refused anyway, and to verify with it takes long.
constexpr int largest_verified_key = 8192;

[[noreturn]] void refuse(const std::string& what) {
  fail(FailureClass::permanent, "unreadable", what);
}

std::string der_in_pem(std::string_view text) {
  if (text.find('\0') != std::string_view::npos)
    refuse("the CSR holds NUL octets: it must be PEM text or DER");
  std::vector<PemBlock> blocks;
  try {
    blocks = read_pem(text, 1);
  } catch (const std::invalid_argument& error) {
    refuse(std::string("the CSR cannot be read: ") + error.what());
  }
  if (blocks.empty())
    refuse("the CSR cannot be read: there is no line -----BEGIN CERTIFICATE REQUEST-----, and it is not DER");
  if (blocks.front().label != "CERTIFICATE REQUEST" && blocks.front().label != "NEW CERTIFICATE REQUEST")
    refuse("the PEM block is a " + blocks.front().label + ", not a CERTIFICATE REQUEST");
  return std::move(blocks.front().der);
}

OwnedRequest parsed(std::string_view der) {
  bool whole = false;
  OwnedRequest request(static_cast<X509_REQ*>(from_der_without_key(der, ASN1_ITEM_rptr(X509_REQ), whole)));
  if (!request) {
    take_openssl_error();
    refuse("the CSR cannot be read: its octets are not a PKCS#10 certificate request, or not a whole one");
  }
  if (!whole) refuse("the CSR has data after its end");
  return request;
}

std::string curve_of(const EVP_PKEY* key) {
  std::array<char, 64> text{};
  if (EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_EC_ENCODING, text.data(), text.size(), nullptr) ==
          1 &&
      std::string_view(text.data()) != OSSL_PKEY_EC_ENCODING_GROUP)
    return "explicit parameters";
  if (EVP_PKEY_get_group_name(key, text.data(), text.size(), nullptr) != 1) return "unknown curve";
  const std::string_view name = text.data();
  if (name == "prime256v1") return "P-256";
  if (name == "secp384r1") return "P-384";
  if (name == "secp521r1") return "P-521";
  return std::string(name);
}

/// RFC 5480 §2.2 allows a compressed one, too; CAs do not read it.
bool has_uncompressed_point(const X509_PUBKEY* key) {
  const unsigned char* point = nullptr;
  int size = 0;
  return X509_PUBKEY_get0_param(nullptr, &point, &size, nullptr, key) == 1 && size > 0 &&
         point[0] == POINT_CONVERSION_UNCOMPRESSED;
}

void read_key(const EVP_PKEY* key, const X509_PUBKEY* encoded_key, Csr& csr) {
  if (!key) {
    take_openssl_error();
    csr.key_name = "of an unknown kind, or broken";
    return;
  }
  csr.key_bits = EVP_PKEY_get_bits(key);
  switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
      csr.key_algorithm = KeyAlgorithm::rsa;
      csr.key_name = "RSA " + std::to_string(csr.key_bits);
      break;
    case EVP_PKEY_EC:
      csr.key_algorithm = KeyAlgorithm::ec;
      csr.key_name = csr.curve = curve_of(key);
      if (!has_uncompressed_point(encoded_key)) csr.key_name = csr.curve += " with a compressed point";
      break;
    default:
      const char* name = EVP_PKEY_get0_type_name(key);
      csr.key_name = name ? name : "of an unknown kind";
  }
}

void read_signature(X509_REQ* request, EVP_PKEY* key, Csr& csr) {
  int digest = NID_undef;
  if (OBJ_find_sigid_algs(X509_REQ_get_signature_nid(request), &digest, nullptr) == 1 && digest != NID_undef)
    csr.signature_digest = OBJ_nid2sn(digest);
  csr.signature_valid = key && csr.key_bits <= largest_verified_key && X509_REQ_verify(request, key) == 1;
}

void read_extensions(X509_REQ* request, Csr& csr) {
  const OwnedExtensions extensions(X509_REQ_get_extensions(request));
  if (!extensions) return;
  csr.must_staple = X509v3_get_ext_by_NID(extensions.get(), NID_tlsfeature, -1) >= 0;
  int found = 0;
  const OwnedNames names(
      static_cast<GENERAL_NAMES*>(X509V3_get_d2i(extensions.get(), NID_subject_alt_name, &found, nullptr)));
  if (!names) {
    constexpr int absent = -1;
    constexpr int repeated = -2;
    if (found == absent) return;
    take_openssl_error();
    refuse(found == repeated ? "the CSR has two subject alternative name extensions"
                             : "the CSR's subject alternative name cannot be read: its octets are damaged");
  }
  AlternativeNames alternatives = alternative_names(*names);
  csr.dns_names = std::move(alternatives.dns);
  csr.ip_addresses = std::move(alternatives.ip);
  csr.emails = std::move(alternatives.emails);
  csr.uris = std::move(alternatives.uris);
  csr.other_names = alternatives.others;
}

}  // namespace

Csr read_csr(std::string_view pem_or_der) {
  if (pem_or_der.size() > max_csr_octets)
    refuse("the CSR is larger than " + std::to_string(max_csr_octets) + " octets");
  Csr csr{.der = pem_or_der.starts_with(der_sequence) ? std::string(pem_or_der) : der_in_pem(pem_or_der)};
  const OwnedRequest request = parsed(csr.der);
  X509_PUBKEY* encoded_key = X509_REQ_get_X509_PUBKEY(request.get());
  const OwnedKey key = public_key(encoded_key);
  csr.spki_sha256 = sha256(der_of<i2d_X509_PUBKEY>(encoded_key));
  read_key(key.get(), encoded_key, csr);
  read_signature(request.get(), key.get(), csr);
  csr.common_names = common_names_of(X509_REQ_get_subject_name(request.get()));
  read_extensions(request.get(), csr);
  take_openssl_error();  // what was refused above is told by the facts
  return csr;
}

std::string csr_pem(std::string_view der) {
  return pem_of("CERTIFICATE REQUEST", der);
}

}  // namespace csrq::crypto
