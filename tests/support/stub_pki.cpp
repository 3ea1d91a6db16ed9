#include "support/stub_pki.hpp"

#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <ctime>
#include <set>

#include "base/encoding.hpp"
#include "base/identifier.hpp"

namespace csrq::test {

namespace {

using namespace std::chrono_literals;

constexpr long days_of_a_ca = 3650;
constexpr long seconds_of_a_day = 86'400;

std::string text_of(const ASN1_STRING* string) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(string)),
          static_cast<std::size_t>(ASN1_STRING_length(string))};
}

std::string serial_of(const X509* certificate) {
  return hex(text_of(X509_get0_serialNumber(certificate)));
}

/// Positive, and of the length that CAs use.
void set_random_serial(X509* certificate) {
  std::array<unsigned char, 16> octets{};
  must(RAND_bytes(octets.data(), static_cast<int>(octets.size())) == 1, "random octets");
  octets[0] = static_cast<unsigned char>((octets[0] & 0x3F) | 0x40);
  ASN1_INTEGER* serial = X509_get_serialNumber(certificate);
  must(ASN1_STRING_set(serial, octets.data(), static_cast<int>(octets.size())) == 1, "serial number");
}

void set_validity(X509* certificate, std::time_t from, std::time_t until) {
  must(ASN1_TIME_set(X509_getm_notBefore(certificate), from) != nullptr, "notBefore");
  must(ASN1_TIME_set(X509_getm_notAfter(certificate), until) != nullptr, "notAfter");
}

void set_common_name(X509_NAME* name, const std::string& value) {
  must(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                  reinterpret_cast<const unsigned char*>(value.c_str()), -1, -1, 0) == 1,
       "common name");
}

ExtensionPtr extension(int nid, const char* value, X509* issuer = nullptr, X509* subject = nullptr) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, subject, nullptr, nullptr, 0);
  ExtensionPtr made(X509V3_EXT_conf_nid(nullptr, &context, nid, value));
  must(made != nullptr, "extension");
  return made;
}

void add(X509* certificate, const ExtensionPtr& made) {
  must(X509_add_ext(certificate, made.get(), -1) == 1, "adding an extension");
}

void add(X509* certificate, int nid, const char* value, X509* issuer = nullptr) {
  add(certificate, extension(nid, value, issuer, certificate));
}

/// A certificate without names, extensions and signature.
CertificatePtr blank(EVP_PKEY* key) {
  CertificatePtr certificate(X509_new());
  must(X509_set_version(certificate.get(), X509_VERSION_3) == 1, "version");
  set_random_serial(certificate.get());
  must(X509_set_pubkey(certificate.get(), key) == 1, "public key");
  return certificate;
}

void sign(X509* certificate, EVP_PKEY* key) {
  must(X509_sign(certificate, key, EVP_sha256()) > 0, "signing");
}

struct Authority {
  KeyPtr key;
  CertificatePtr certificate;
};

CertificatePtr ca_certificate(const std::string& name, EVP_PKEY* key, const Authority* issuer) {
  CertificatePtr certificate = blank(key);
  set_common_name(X509_get_subject_name(certificate.get()), name);
  X509* signer = issuer ? issuer->certificate.get() : certificate.get();
  must(X509_set_issuer_name(certificate.get(), X509_get_subject_name(signer)) == 1, "issuer");
  const std::time_t now = std::time(nullptr);
  set_validity(certificate.get(), now - seconds_of_a_day, now + days_of_a_ca * seconds_of_a_day);
  add(certificate.get(), NID_basic_constraints, "critical,CA:TRUE");
  add(certificate.get(), NID_key_usage, "critical,keyCertSign,cRLSign");
  add(certificate.get(), NID_subject_key_identifier, "hash");
  add(certificate.get(), NID_authority_key_identifier, "keyid:always", signer);
  sign(certificate.get(), issuer ? issuer->key.get() : key);
  return certificate;
}

Authority authority(const std::string& name, const Authority* issuer = nullptr) {
  KeyPtr key = new_p256_key();
  CertificatePtr certificate = ca_certificate(name, key.get(), issuer);
  return {.key = std::move(key), .certificate = std::move(certificate)};
}

std::string der_of(const CertificatePtr& certificate) {
  return encoded<i2d_X509>(certificate.get());
}

NamesPtr alternative_names(X509_REQ* request) {
  STACK_OF(X509_EXTENSION)* extensions = X509_REQ_get_extensions(request);
  NamesPtr names(
      static_cast<GENERAL_NAMES*>(X509V3_get_d2i(extensions, NID_subject_alt_name, nullptr, nullptr)));
  sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
  return names;
}

std::string name_of(const GENERAL_NAME* name) {
  if (name->type == GEN_DNS) return to_lower_ascii(text_of(name->d.dNSName));
  if (name->type == GEN_IPADD)
    if (const auto address = ip_from_octets(text_of(name->d.iPAddress))) return *address;
  throw std::invalid_argument("the CSR has a name that is neither a DNS name nor an IP address");
}

std::vector<std::string> names_of(X509_REQ* request) {
  std::set<std::string> names;
  if (const NamesPtr alternatives = alternative_names(request))
    for (int i = 0; i < sk_GENERAL_NAME_num(alternatives.get()); ++i)
      names.insert(name_of(sk_GENERAL_NAME_value(alternatives.get(), i)));
  const X509_NAME* subject = X509_REQ_get_subject_name(request);
  for (int at = -1; (at = X509_NAME_get_index_by_NID(subject, NID_commonName, at)) >= 0;)
    names.insert(to_lower_ascii(text_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)))));
  return {names.begin(), names.end()};
}

GENERAL_NAME* general_name(const std::string& value) {
  GENERAL_NAME* name = a2i_GENERAL_NAME(nullptr, nullptr, nullptr, canonical_ip(value) ? GEN_IPADD : GEN_DNS,
                                        value.c_str(), 0);
  must(name != nullptr, "name");
  return name;
}

void add_names(X509* certificate, std::vector<std::string> names, ChainDelivery::Flaw flaw) {
  if (flaw == ChainDelivery::Flaw::missing_name) names.pop_back();
  if (flaw == ChainDelivery::Flaw::extra_name) names.emplace_back("extra.stub.example");
  const NamesPtr list(sk_GENERAL_NAME_new_null());
  for (const std::string& name : names) sk_GENERAL_NAME_push(list.get(), general_name(name));
  constexpr int critical = 1;  // the subject is empty
  must(X509_add1_ext_i2d(certificate, NID_subject_alt_name, list.get(), critical, X509V3_ADD_APPEND) == 1,
       "subject alternative name");
}

void set_leaf_validity(X509* certificate, ChainDelivery::Flaw flaw, Duration valid_since,
                       Duration valid_for) {
  const auto seconds = [](Duration duration) {
    return static_cast<std::time_t>(std::chrono::duration_cast<std::chrono::seconds>(duration).count());
  };
  std::time_t from = std::time(nullptr) - seconds(valid_since);
  if (flaw == ChainDelivery::Flaw::expired) from -= seconds(valid_for);
  if (flaw == ChainDelivery::Flaw::not_yet_valid) from = std::time(nullptr) + seconds(1h);
  set_validity(certificate, from, from + seconds(valid_for) - 1);
}

}  // namespace

StubCsr read_stub_csr(std::string_view der) {
  StubCsr csr{.request = RequestPtr(decoded<d2i_X509_REQ>(der))};
  if (!csr.request) throw std::invalid_argument("the CSR cannot be read");
  EVP_PKEY* key = X509_REQ_get0_pubkey(csr.request.get());
  if (!key || X509_REQ_verify(csr.request.get(), key) != 1)
    throw std::invalid_argument("the CSR's signature does not verify");
  csr.names = names_of(csr.request.get());
  csr.spki = encoded<i2d_PUBKEY>(key);
  return csr;
}

StubPki::StubPki(int intermediates, int alternate_roots)
    : other_key_(new_p256_key()),
      key_usage_(extension(NID_key_usage, "critical,digitalSignature")),
      extended_key_usage_(extension(NID_ext_key_usage, "serverAuth")),
      basic_constraints_(extension(NID_basic_constraints, "critical,CA:FALSE")) {
  std::vector<Authority> roots;
  for (int i = 0; i <= alternate_roots; ++i) {
    roots.push_back(authority(root_name(i)));
    roots_.push_back(der_of(roots.back().certificate));
  }
  std::vector<Authority> line;  // topmost first
  for (int level = intermediates; level > 0; --level)
    line.push_back(
        authority("Stub Issuer " + std::to_string(level), line.empty() ? &roots[0] : &line.back()));
  Authority& lowest = line.empty() ? roots[0] : line.back();
  std::vector<std::string> default_issuers;
  for (auto level = line.rbegin(); level != line.rend(); ++level)
    default_issuers.push_back(der_of(level->certificate));
  issuers_.push_back(default_issuers);
  for (std::size_t i = 1; i < roots.size() && !line.empty(); ++i) {
    std::vector<std::string> issuers = default_issuers;
    issuers.back() = der_of(
        ca_certificate("Stub Issuer " + std::to_string(intermediates), line.front().key.get(), &roots[i]));
    issuers_.push_back(std::move(issuers));
  }
  stranger_ = der_of(authority("Stub Stranger").certificate);
  authority_key_id_ =
      extension(NID_authority_key_identifier, "keyid:always", lowest.certificate.get(), nullptr);
  issuer_key_ = std::move(lowest.key);
  issuer_ = std::move(lowest.certificate);
}

StubIssued StubPki::issue(const StubCsr& csr, ChainDelivery::Flaw flaw, Duration valid_since,
                          Duration valid_for) const {
  const bool wrong_key = flaw == ChainDelivery::Flaw::other_key;
  const CertificatePtr certificate =
      blank(wrong_key ? other_key_.get() : X509_REQ_get0_pubkey(csr.request.get()));
  must(X509_set_issuer_name(certificate.get(), X509_get_subject_name(issuer_.get())) == 1, "issuer");
  set_leaf_validity(certificate.get(), flaw, valid_since, valid_for);
  for (const ExtensionPtr* one : {&key_usage_, &extended_key_usage_, &authority_key_id_})
    add(certificate.get(), *one);
  if (flaw == ChainDelivery::Flaw::says_ca)
    add(certificate.get(), NID_basic_constraints, "critical,CA:TRUE");
  else
    add(certificate.get(), basic_constraints_);
  add_names(certificate.get(), csr.names, flaw);
  sign(certificate.get(), issuer_key_.get());
  return {.serial = serial_of(certificate.get()), .der = der_of(certificate)};
}

StubServerIdentity make_server_identity() {
  const Authority anchor = authority("Stub API Root");
  KeyPtr key = new_p256_key();
  CertificatePtr certificate = blank(key.get());
  set_common_name(X509_get_subject_name(certificate.get()), "localhost");
  must(X509_set_issuer_name(certificate.get(), X509_get_subject_name(anchor.certificate.get())) == 1,
       "issuer");
  const std::time_t now = std::time(nullptr);
  set_validity(certificate.get(), now - seconds_of_a_day, now + seconds_of_a_day * days_of_a_ca);
  add(certificate.get(), NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1");
  add(certificate.get(), NID_ext_key_usage, "serverAuth");
  sign(certificate.get(), anchor.key.get());
  return {.key = std::move(key),
          .certificate = std::move(certificate),
          .anchor_pem = certificate_pem(der_of(anchor.certificate))};
}

std::string certificate_pem(std::string_view der, std::string_view line_end) {
  constexpr std::size_t columns = 64;
  const std::string text = base64(der);
  std::string pem = "-----BEGIN CERTIFICATE-----" + std::string(line_end);
  for (std::size_t at = 0; at < text.size(); at += columns)
    pem += text.substr(at, columns) + std::string(line_end);
  return pem + "-----END CERTIFICATE-----" + std::string(line_end);
}

}  // namespace csrq::test
