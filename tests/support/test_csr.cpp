#include "support/test_csr.hpp"

#include <openssl/core_names.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <map>
#include <mutex>

#include "base/encoding.hpp"
#include "base/identifier.hpp"
#include "support/openssl_objects.hpp"

namespace csrq::test {

namespace {

using SharedKey = std::shared_ptr<EVP_PKEY>;

EVP_PKEY* generated_rsa(int bits, const std::string& exponent) {
  const KeyContextPtr context(EVP_PKEY_CTX_new_from_name(nullptr, "RSA", nullptr));
  BIGNUM* number = nullptr;
  must(BN_dec2bn(&number, exponent.c_str()) > 0, "exponent");
  const BignumPtr owned(number);
  EVP_PKEY* key = nullptr;
  must(EVP_PKEY_keygen_init(context.get()) == 1 &&
           EVP_PKEY_CTX_set_rsa_keygen_bits(context.get(), bits) == 1 &&
           EVP_PKEY_CTX_set1_rsa_keygen_pubexp(context.get(), number) == 1 &&
           EVP_PKEY_generate(context.get(), &key) == 1,
       "making an RSA key");
  return key;
}

EVP_PKEY* generated(const std::string& kind) {
  if (kind.starts_with("RSA-")) {
    const std::size_t exponent = kind.find(" e=");
    return generated_rsa(std::stoi(kind.substr(std::size("RSA-") - 1)),
                         exponent == std::string::npos ? "65537" : kind.substr(exponent + 3));
  }
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

NamesPtr dns_names(const std::vector<std::string>& names) {
  return alternative_names({.dns_names = names});
}

/// What is asked for in one extension request.
class ExtensionRequest {
 public:
  ExtensionRequest() = default;
  ExtensionRequest(const ExtensionRequest&) = delete;
  ExtensionRequest& operator=(const ExtensionRequest&) = delete;
  ~ExtensionRequest() { sk_X509_EXTENSION_pop_free(extensions_, X509_EXTENSION_free); }

  void add_names(const NamesPtr& names) {
    if (sk_GENERAL_NAME_num(names.get()) == 0) return;
    must(X509V3_add1_i2d(&extensions_, NID_subject_alt_name, names.get(), 0, X509V3_ADD_APPEND) == 1, "SAN");
  }
  void add(int kind, const char* value) {
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, kind, value);
    must(extension != nullptr, value);
    must(X509v3_add_ext(&extensions_, extension, -1) != nullptr, value);
    X509_EXTENSION_free(extension);
  }
  /// As an attribute of its own of that kind; none if nothing is asked for.
  void write(X509_REQ* request, int kind = NID_ext_req) const {
    if (sk_X509_EXTENSION_num(extensions_) > 0)
      must(X509_REQ_add_extensions_nid(request, extensions_, kind) == 1, "adding extensions");
  }

 private:
  STACK_OF(X509_EXTENSION) * extensions_{nullptr};
};

/// OpenSSL adds one attribute of a kind only. Others are made of a kind of the same length, and renamed.
constexpr int stand_in = NID_pkcs9_extCertAttributes;

std::string renamed(std::string der) {
  constexpr std::string_view attribute = "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x09";
  constexpr char extension_request = '\x0e';
  if (const std::size_t at = der.find(attribute); at != std::string::npos)
    der[at + attribute.size() - 1] = extension_request;
  return der;
}

void add_extensions(X509_REQ* request, const CsrRecipe& recipe) {
  ExtensionRequest first;
  first.add_names(alternative_names(recipe));
  if (recipe.must_staple) first.add(NID_tlsfeature, "status_request");
  first.write(request);
  ExtensionRequest second;
  if (recipe.key_usage) second.add(NID_key_usage, "digitalSignature");
  second.add_names(dns_names(recipe.second_request));
  second.write(request, stand_in);
  ExtensionRequest microsoft;
  microsoft.add_names(dns_names(recipe.microsoft_names));
  microsoft.write(request, NID_ms_ext_req);
}

/// Each of another kind.
void add_attributes(X509_REQ* request, int count) {
  for (int i = 0; i < count; ++i)
    must(X509_REQ_add1_attr_by_txt(request, ("1.2.3." + std::to_string(i)).c_str(), V_ASN1_UTF8STRING,
                                   reinterpret_cast<const unsigned char*>("x"), 1) == 1,
         "attribute");
}

void add_field(X509_REQ* request, const SubjectField& field) {
  must(X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(request), field.name.c_str(), field.type,
                                  reinterpret_cast<const unsigned char*>(field.octets.data()),
                                  static_cast<int>(field.octets.size()), -1, 0) == 1,
       "subject");
}

void set_subject(X509_REQ* request, const CsrRecipe& recipe) {
  for (const SubjectField& field : recipe.subject) add_field(request, field);
  if (!recipe.common_name.empty())
    add_field(request, {.name = "CN", .type = MBSTRING_UTF8, .octets = recipe.common_name});
}

void sign(X509_REQ* request, EVP_PKEY* key, const CsrRecipe& recipe) {
  const EVP_MD* digest = recipe.key == "Ed25519" ? nullptr : EVP_get_digestbyname(recipe.digest.c_str());
  const DigestContextPtr context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* parameters = nullptr;
  must(EVP_DigestSignInit(context.get(), &parameters, digest, nullptr, key) == 1, "signing");
  if (recipe.pss_signature)
    must(EVP_PKEY_CTX_set_rsa_padding(parameters, RSA_PKCS1_PSS_PADDING) == 1, "RSA-PSS");
  must(X509_REQ_sign_ctx(request, context.get()) > 0, "signing");
}

}  // namespace

std::string csr_der(const CsrRecipe& recipe) {
  const SharedKey key = key_for(recipe);
  RequestPtr request(X509_REQ_new());
  must(X509_REQ_set_version(request.get(), X509_REQ_VERSION_1) == 1, "version");
  must(X509_REQ_set_pubkey(request.get(), key.get()) == 1, "public key");
  set_subject(request.get(), recipe);
  add_extensions(request.get(), recipe);
  add_attributes(request.get(), recipe.more_attributes);
  sign(request.get(), key.get(), recipe);
  if (recipe.key_usage || !recipe.second_request.empty()) {
    request.reset(decoded<d2i_X509_REQ>(renamed(encoded<i2d_X509_REQ>(request.get()))));
    sign(request.get(), key.get(), recipe);
  }
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
