#include "support/test_csr.hpp"

#include <openssl/core_names.h>
#include <openssl/pem.h>

#include <algorithm>
#include <map>
#include <mutex>

#include "base/encoding.hpp"
#include "base/identifier.hpp"
#include "support/openssl_objects.hpp"

namespace csrq::test {

namespace {

using SharedKey = std::shared_ptr<EVP_PKEY>;

EVP_PKEY* generated(const std::string& kind) {
  constexpr std::size_t prefix = 4;  // "RSA-"
  if (kind.starts_with("RSA-")) return EVP_RSA_gen(static_cast<unsigned>(std::stoi(kind.substr(prefix))));
  if (kind == "Ed25519") return EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519");
  if (const std::size_t space = kind.find(' '); space != std::string::npos) {
    EVP_PKEY* key = EVP_EC_gen(kind.substr(0, space).c_str());
    const std::string form = kind.substr(space + 1);
    must(EVP_PKEY_set_utf8_string_param(
             key,
             form == "explicit" ? OSSL_PKEY_PARAM_EC_ENCODING : OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT,
             form.c_str()) == 1,
         "the key's form");
    return key;
  }
  return EVP_EC_gen(kind.c_str());
}

SharedKey shared(EVP_PKEY* key) {
  must(key != nullptr, "making a key");
  return {key, Freed<EVP_PKEY_free>{}};
}

SharedKey read_key(const std::string& text) {
  const BioPtr bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  if (text.find("-----BEGIN") != std::string::npos)
    return shared(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr));
  return shared(d2i_PrivateKey_bio(bio.get(), nullptr));
}

SharedKey key_for(const CsrRecipe& recipe) {
  if (!recipe.private_key.empty()) return read_key(recipe.private_key);
  if (recipe.fresh_key) return shared(generated(recipe.key));
  static std::mutex mutex;
  static std::map<std::string, SharedKey> made;
  const std::lock_guard lock(mutex);
  SharedKey& key = made[recipe.key];
  if (!key) key = shared(generated(recipe.key));
  return key;
}

/// As it is, without any of the checks that a2i_GENERAL_NAME makes.
void add_text(GENERAL_NAMES* names, int type, const std::string& text) {
  GENERAL_NAME* name = GENERAL_NAME_new();
  ASN1_STRING* string = type == GEN_IPADD ? ASN1_OCTET_STRING_new() : ASN1_IA5STRING_new();
  must(ASN1_STRING_set(string, text.data(), static_cast<int>(text.size())) == 1, "name");
  GENERAL_NAME_set0_value(name, type, string);
  sk_GENERAL_NAME_push(names, name);
}

void add_directory_name(GENERAL_NAMES* names) {
  GENERAL_NAME* name = GENERAL_NAME_new();
  GENERAL_NAME_set0_value(name, GEN_DIRNAME, X509_NAME_new());
  sk_GENERAL_NAME_push(names, name);
}

std::string octets_of_ip(const std::string& address) {
  ASN1_OCTET_STRING* octets = a2i_IPADDRESS(address.c_str());
  must(octets != nullptr, "IP address");
  std::string result(reinterpret_cast<const char*>(ASN1_STRING_get0_data(octets)),
                     static_cast<std::size_t>(ASN1_STRING_length(octets)));
  ASN1_OCTET_STRING_free(octets);
  return result;
}

NamesPtr alternative_names(const CsrRecipe& recipe) {
  NamesPtr names(sk_GENERAL_NAME_new_null());
  for (const std::string& name : recipe.names) {
    const bool is_address = canonical_ip(name).has_value();
    add_text(names.get(), is_address ? GEN_IPADD : GEN_DNS, is_address ? octets_of_ip(name) : name);
  }
  for (const std::string& name : recipe.dns_names) add_text(names.get(), GEN_DNS, name);
  for (const std::string& email : recipe.emails) add_text(names.get(), GEN_EMAIL, email);
  for (const std::string& uri : recipe.uris) add_text(names.get(), GEN_URI, uri);
  if (!recipe.ip_octets.empty()) add_text(names.get(), GEN_IPADD, recipe.ip_octets);
  if (recipe.directory_name) add_directory_name(names.get());
  return names;
}

void add_extensions(X509_REQ* request, const CsrRecipe& recipe) {
  STACK_OF(X509_EXTENSION)* extensions = sk_X509_EXTENSION_new_null();
  const NamesPtr names = alternative_names(recipe);
  if (sk_GENERAL_NAME_num(names.get()) > 0)
    must(X509V3_add1_i2d(&extensions, NID_subject_alt_name, names.get(), 0, X509V3_ADD_APPEND) == 1, "SAN");
  if (recipe.must_staple) {
    X509_EXTENSION* feature = X509V3_EXT_conf_nid(nullptr, nullptr, NID_tlsfeature, "status_request");
    must(feature != nullptr, "must-staple");
    sk_X509_EXTENSION_push(extensions, feature);
  }
  if (sk_X509_EXTENSION_num(extensions) > 0)
    must(X509_REQ_add_extensions(request, extensions) == 1, "adding extensions");
  sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
}

void set_common_name(X509_REQ* request, const std::string& name) {
  if (name.empty()) return;
  must(X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(request), "CN", MBSTRING_UTF8,
                                  reinterpret_cast<const unsigned char*>(name.data()),
                                  static_cast<int>(name.size()), -1, 0) == 1,
       "common name");
}

}  // namespace

std::string csr_der(const CsrRecipe& recipe) {
  const SharedKey key = key_for(recipe);
  const RequestPtr request(X509_REQ_new());
  must(X509_REQ_set_version(request.get(), X509_REQ_VERSION_1) == 1, "version");
  must(X509_REQ_set_pubkey(request.get(), key.get()) == 1, "public key");
  set_common_name(request.get(), recipe.common_name);
  add_extensions(request.get(), recipe);
  const EVP_MD* digest = recipe.key == "Ed25519" ? nullptr : EVP_get_digestbyname(recipe.digest.c_str());
  must(X509_REQ_sign(request.get(), key.get(), digest) > 0, "signing");
  std::string der = encoded<i2d_X509_REQ>(request.get());
  if (recipe.broken_signature) der.back() = static_cast<char>(der.back() ^ 1);
  return der;
}

std::string csr_pem(const CsrRecipe& recipe) {
  constexpr std::size_t columns = 64;
  const std::string text = base64(csr_der(recipe));
  std::string pem = "-----BEGIN CERTIFICATE REQUEST-----\n";
  for (std::size_t at = 0; at < text.size(); at += columns) pem += text.substr(at, columns) + "\n";
  return pem + "-----END CERTIFICATE REQUEST-----\n";
}

std::string csr_pem(const std::vector<std::string>& names) {
  return csr_pem(CsrRecipe{.names = names});
}

}  // namespace csrq::test
