#include "crypto/csr.hpp"

#include <openssl/core_names.h>
#include <openssl/ec.h>

#include <set>
#include <stdexcept>

#include "base/error.hpp"
#include "crypto/digest.hpp"
#include "crypto/openssl.hpp"
#include "crypto/pem.hpp"
#include "crypto/subject.hpp"

namespace csrq::crypto {
namespace {

/// A larger key is refused anyway, and to verify with it takes long.
constexpr int largest_verified_key = 8192;

[[noreturn]] void refuse(const std::string& what) {
  take_openssl_error();  // of which no later failure on this thread shall speak
  fail(FailureClass::permanent, ErrorCode::unreadable, what);
}

/// A SEQUENCE of more than 127 octets, as a CSR is. Text may begin with the digit 0, which is the first of
/// them.
bool is_der(std::string_view octets) {
  constexpr char sequence = '\x30';
  constexpr unsigned char long_form = 0x80;
  constexpr unsigned char longest_form = 0x84;
  if (octets.size() < 2 || octets[0] != sequence) return false;
  const auto length = static_cast<unsigned char>(octets[1]);
  return length > long_form && length <= longest_form;
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
    if (take_string_error())
      fail(FailureClass::permanent, ErrorCode::bad_string,
           "the CSR's subject has a string that its type cannot hold, or of a type that no subject has: make "
           "every field a UTF8String");
    refuse("the CSR cannot be read: its octets are not a PKCS#10 certificate request, or not a whole one");
  }
  if (!whole) refuse("the CSR has data after its end");
  return request;
}

/// P-256, P-384 and P-521 by the names that people use; others by OpenSSL's.
std::string name_of_curve(int nid) {
  switch (nid) {
    case NID_X9_62_prime256v1:
      return "P-256";
    case NID_secp384r1:
      return "P-384";
    case NID_secp521r1:
      return "P-521";
    default:
      return OBJ_nid2sn(nid);
  }
}

bool is_usual_curve(int nid) {
  return nid == NID_X9_62_prime256v1 || nid == NID_secp384r1 || nid == NID_secp521r1;
}

OwnedKey read_rsa_key(X509_PUBKEY* encoded, Csr& csr) {
  OwnedKey key = public_key(encoded);
  if (!key) {
    csr.key_name = "RSA, but damaged";
    return nullptr;
  }
  csr.key_algorithm = KeyAlgorithm::rsa;
  csr.key_bits = EVP_PKEY_get_bits(key.get());
  csr.key_name = "RSA " + std::to_string(csr.key_bits);
  BIGNUM* exponent = nullptr;
  check(EVP_PKEY_get_bn_param(key.get(), OSSL_PKEY_PARAM_RSA_E, &exponent), "reading an RSA exponent");
  const OwnedBignum owned(exponent);
  constexpr int most_bits = 64;
  if (BN_num_bits(exponent) <= most_bits) csr.rsa_exponent = BN_get_word(exponent);
  return key;
}

/// RFC 5480 §2 allows other curves, and compressed points, too; CAs read neither those nor parameters.
OwnedKey read_ec_key(X509_PUBKEY* encoded, Csr& csr) {
  const unsigned char* point = nullptr;
  int size = 0;
  X509_ALGOR* algorithm = nullptr;
  check(X509_PUBKEY_get0_param(nullptr, &point, &size, &algorithm, encoded), "reading a public key");
  int parameter_type = V_ASN1_UNDEF;
  const void* parameter = nullptr;
  X509_ALGOR_get0(nullptr, &parameter_type, &parameter, algorithm);
  if (parameter_type != V_ASN1_OBJECT) {
    csr.key_name = "an EC key with explicit parameters";
    return nullptr;
  }
  const int curve = OBJ_obj2nid(static_cast<const ASN1_OBJECT*>(parameter));
  csr.key_name = name_of_curve(curve);
  if (!is_usual_curve(curve)) return nullptr;
  if (size < 1 || point[0] != POINT_CONVERSION_UNCOMPRESSED) {
    csr.key_name += " with a compressed point";
    return nullptr;
  }
  OwnedKey key = public_key(encoded);
  if (!key) {
    csr.key_name += ", but damaged";
    return nullptr;
  }
  csr.key_algorithm = KeyAlgorithm::ec;
  csr.key_bits = EVP_PKEY_get_bits(key.get());
  csr.curve = csr.key_name;
  return key;
}

OwnedKey read_ed25519_key(X509_PUBKEY* encoded, Csr& csr) {
  OwnedKey key = public_key(encoded);
  csr.key_name = key ? "Ed25519" : "Ed25519, but damaged";
  if (key) csr.key_algorithm = KeyAlgorithm::ed25519;
  return key;
}

/// Null for a key that no CA takes: what it says is not calculated with.
OwnedKey read_key(X509_PUBKEY* encoded, Csr& csr) {
  ASN1_OBJECT* kind = nullptr;
  check(X509_PUBKEY_get0_param(&kind, nullptr, nullptr, nullptr, encoded), "reading a public key");
  switch (OBJ_obj2nid(kind)) {
    case NID_rsaEncryption:
      return read_rsa_key(encoded, csr);
    case NID_X9_62_id_ecPublicKey:
      return read_ec_key(encoded, csr);
    case NID_ED25519:
      return read_ed25519_key(encoded, csr);
    case NID_undef:
      csr.key_name = "of an unknown kind";
      return nullptr;
    default:
      csr.key_name = OBJ_nid2ln(OBJ_obj2nid(kind));
      return nullptr;
  }
}

void read_signature(X509_REQ* request, EVP_PKEY* key, Csr& csr) {
  const int scheme = X509_REQ_get_signature_nid(request);
  if (scheme != NID_undef) csr.signature_scheme = OBJ_nid2ln(scheme);
  int digest = NID_undef;
  if (OBJ_find_sigid_algs(scheme, &digest, nullptr) == 1 && digest != NID_undef)
    csr.signature_digest = OBJ_nid2sn(digest);
  csr.signature_valid = key && csr.key_bits <= largest_verified_key && X509_REQ_verify(request, key) == 1;
}

/// Of all attributes of that kind together; empty, not null, if there is none.
OwnedExtensions requested_extensions(const X509_REQ* request, int kind) {
  OwnedExtensions all(sk_X509_EXTENSION_new_null());
  for (int at = -1; (at = X509_REQ_get_attr_by_NID(request, kind, at)) >= 0;) {
    X509_ATTRIBUTE* attribute = X509_REQ_get_attr(request, at);
    if (X509_ATTRIBUTE_count(attribute) == 0) continue;
    if (X509_ATTRIBUTE_count(attribute) > 1) refuse("the CSR has an extension request with several values");
    const OwnedExtensions some(static_cast<STACK_OF(X509_EXTENSION)*>(
        ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(X509_EXTENSIONS), X509_ATTRIBUTE_get0_type(attribute, 0))));
    if (!some) refuse("the CSR has an extension request that cannot be read");
    while (X509_EXTENSION* extension = sk_X509_EXTENSION_shift(some.get()))
      sk_X509_EXTENSION_push(all.get(), extension);
  }
  return all;
}

std::string_view identifier_of(const X509_EXTENSION* extension) {
  const ASN1_OBJECT* identifier = X509_EXTENSION_get_object(const_cast<X509_EXTENSION*>(extension));
  return {reinterpret_cast<const char*>(OBJ_get0_data(identifier)), OBJ_length(identifier)};
}

/// RFC 5280 §4.2 forbids a second one.
void check_repetition(const STACK_OF(X509_EXTENSION) * extensions) {
  std::set<std::string_view> found;
  for (int at = 0; at < sk_X509_EXTENSION_num(extensions); ++at) {
    X509_EXTENSION* extension = sk_X509_EXTENSION_value(extensions, at);
    if (found.insert(identifier_of(extension)).second) continue;
    const int kind = OBJ_obj2nid(X509_EXTENSION_get_object(extension));
    refuse(kind == NID_undef ? "the CSR has two extensions of the same kind"
                             : "the CSR has two extensions \"" + std::string(OBJ_nid2ln(kind)) + "\"");
  }
}

void read_alternative_names(const STACK_OF(X509_EXTENSION) * extensions, Csr& csr) {
  int found = 0;
  const OwnedNames names(
      static_cast<GENERAL_NAMES*>(X509V3_get_d2i(extensions, NID_subject_alt_name, &found, nullptr)));
  if (!names) {
    constexpr int absent = -1;
    if (found == absent) return;
    refuse("the CSR's subject alternative name cannot be read: its octets are damaged");
  }
  AlternativeNames alternatives = alternative_names(*names);
  csr.dns_names = std::move(alternatives.dns);
  csr.ip_addresses = std::move(alternatives.ip);
  csr.emails = std::move(alternatives.emails);
  csr.uris = std::move(alternatives.uris);
  csr.other_names = alternatives.others;
}

/// Null if there is none.
const ASN1_OCTET_STRING* alternative_name_octets(const STACK_OF(X509_EXTENSION) * extensions) {
  const int at = X509v3_get_ext_by_NID(extensions, NID_subject_alt_name, -1);
  return at < 0 ? nullptr : X509_EXTENSION_get_data(sk_X509_EXTENSION_value(extensions, at));
}

void read_extensions(const X509_REQ* request, Csr& csr) {
  const OwnedExtensions extensions = requested_extensions(request, NID_ext_req);
  check_repetition(extensions.get());
  csr.must_staple = X509v3_get_ext_by_NID(extensions.get(), NID_tlsfeature, -1) >= 0;
  read_alternative_names(extensions.get(), csr);

  const OwnedExtensions microsoft = requested_extensions(request, NID_ms_ext_req);
  const ASN1_OCTET_STRING* read = alternative_name_octets(extensions.get());
  const ASN1_OCTET_STRING* unread = alternative_name_octets(microsoft.get());
  csr.microsoft_names = unread && (!read || ASN1_OCTET_STRING_cmp(read, unread) != 0);
}

}  // namespace

Csr read_csr(std::string_view pem_or_der) {
  if (pem_or_der.size() > max_csr_octets)
    refuse("the CSR is larger than " + std::to_string(max_csr_octets) + " octets");
  Csr csr{.der = is_der(pem_or_der) ? std::string(pem_or_der) : der_in_pem(pem_or_der)};
  const OwnedRequest request = parsed(csr.der);
  const X509_NAME* subject = X509_REQ_get_subject_name(request.get());
  check_strings(subject);
  csr.common_names = common_names_of(subject);
  X509_PUBKEY* encoded_key = X509_REQ_get_X509_PUBKEY(request.get());
  csr.spki_sha256 = sha256(der_of<i2d_X509_PUBKEY>(encoded_key));
  const OwnedKey key = read_key(encoded_key, csr);
  read_signature(request.get(), key.get(), csr);
  read_extensions(request.get(), csr);
  take_openssl_error();  // what was refused above is told by the facts
  return csr;
}

std::string csr_pem(std::string_view der) {
  return pem_of("CERTIFICATE REQUEST", der);
}

}  // namespace csrq::crypto
