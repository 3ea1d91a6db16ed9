#include "crypto/certificate.hpp"

#include <algorithm>
#include <ctime>
#include <map>
#include <mutex>
#include <stdexcept>

#include "base/encoding.hpp"
#include "base/error.hpp"
#include "base/mutex.hpp"
#include "crypto/digest.hpp"
#include "crypto/openssl.hpp"
#include "crypto/pem.hpp"

namespace csrq::crypto {
namespace {

[[noreturn]] void refuse(const std::string& what) {
  fail(FailureClass::transient, ErrorCode::bad_certificate, what);
}

Time time_of(const ASN1_TIME* time) {
  std::tm calendar{};
  check(ASN1_TIME_to_tm(time, &calendar), "reading a time");
  return Time(std::chrono::seconds(timegm(&calendar)));
}

std::string line_of(const X509_NAME* name) {
  const OwnedBio bio(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(bio.get(), name, 0, XN_FLAG_RFC2253);
  char* data = nullptr;
  const long length = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(std::max(length, 0L))};
}

void check_times(const X509* certificate) {
  std::tm calendar{};
  if (ASN1_TIME_to_tm(X509_get0_notBefore(certificate), &calendar) != 1 ||
      ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &calendar) != 1)
    refuse("a certificate's validity cannot be read");
}

/// Certificates that stand above many others: OpenSSL 3.0 takes long to read the key of one.
class IssuerCache {
 public:
  Certificate read(const std::string& der) {
    {
      const Lock lock(mutex_);
      if (const auto found = certificates_.find(der); found != certificates_.end()) return found->second;
    }
    const Certificate certificate = Certificate::from_der(der);
    if (!certificate.is_ca()) return certificate;
    const Lock lock(mutex_);
    if (certificates_.size() >= most_cached) certificates_.clear();
    certificates_.emplace(der, certificate);
    return certificate;
  }

 private:
  static constexpr std::size_t most_cached = 64;
  Mutex mutex_{};
  std::map<std::string, Certificate> certificates_ CSRQ_GUARDED_BY(mutex_){};
};

}  // namespace

/// The key is decoded when it is first asked for: most certificates are issued ones, whose key is compared
/// but never used.
struct Certificate::Parsed {
  OwnedCertificate x509{};
  mutable std::once_flag key_decoded{};
  mutable OwnedKey decoded_key{};

  EVP_PKEY* key() const {
    std::call_once(key_decoded, [&] { decoded_key = public_key(X509_get_X509_PUBKEY(x509.get())); });
    return decoded_key.get();
  }
};

Certificate::Certificate(std::string der, std::shared_ptr<const Parsed> parsed)
    : der_(std::move(der)), parsed_(std::move(parsed)) {}

Certificate Certificate::from_der(std::string_view der) {
  auto parsed = std::make_shared<Parsed>();
  bool whole = false;
  auto* x509 = static_cast<X509*>(from_der_without_key(der, ASN1_ITEM_rptr(X509), whole));
  parsed->x509.reset(x509);
  if (!x509) refuse("not a certificate: " + take_openssl_error());
  if (!whole) refuse("a certificate has data after its end");
  if (ASN1_STRING_type(X509_get0_serialNumber(x509)) == V_ASN1_NEG_INTEGER)
    refuse("a certificate has a negative serial number");
  check_times(x509);
  return {std::string(der), std::move(parsed)};
}

std::string Certificate::pem() const {
  return pem_of("CERTIFICATE", der_);
}

std::string Certificate::serial() const {
  const std::string digits = hex(text_of(X509_get0_serialNumber(parsed_->x509.get())));
  return digits.empty() ? "00" : digits;
}

Time Certificate::not_before() const {
  return time_of(X509_get0_notBefore(parsed_->x509.get()));
}

Time Certificate::not_after() const {
  return time_of(X509_get0_notAfter(parsed_->x509.get()));
}

std::string Certificate::subject() const {
  return line_of(X509_get_subject_name(parsed_->x509.get()));
}

std::string Certificate::issuer() const {
  return line_of(X509_get_issuer_name(parsed_->x509.get()));
}

std::string Certificate::issuer_common_name() const {
  const std::vector<std::string> names = common_names_of(X509_get_issuer_name(parsed_->x509.get()));
  return names.empty() ? std::string() : names.back();
}

std::string Certificate::spki_sha256() const {
  return sha256(der_of<i2d_X509_PUBKEY>(X509_get_X509_PUBKEY(parsed_->x509.get())));
}

std::string Certificate::fingerprint_sha256() const {
  return sha256(der_);
}

std::string Certificate::renewal_info_id() const {
  const ASN1_OCTET_STRING* key_id = X509_get0_authority_key_id(parsed_->x509.get());
  if (!key_id) return {};
  // The serial number's content octets, the 00 before a set first bit included.
  const std::string der = der_of<i2d_ASN1_INTEGER>(X509_get0_serialNumber(parsed_->x509.get()));
  constexpr std::size_t tag_and_length = 2;  // serial numbers have at most 20 octets
  return base64url(text_of(key_id)) + "." + base64url(der.substr(std::min(tag_and_length, der.size())));
}

std::vector<std::string> Certificate::names() const {
  const OwnedNames extension(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(parsed_->x509.get(), NID_subject_alt_name, nullptr, nullptr)));
  if (!extension) return {};
  AlternativeNames found = alternative_names(*extension);
  std::vector<std::string> names = std::move(found.ip);
  for (const std::string& name : found.dns) names.push_back(to_lower_ascii(name));
  for (const std::string& name : found.emails) names.push_back("email:" + name);
  for (const std::string& name : found.uris) names.push_back("uri:" + name);
  if (found.others) names.emplace_back("other:");
  std::ranges::sort(names);
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

bool Certificate::is_self_signed() const {
  return is_issued_by(*this);
}

bool Certificate::is_issued_by(const Certificate& issuer) const {
  if (X509_NAME_cmp(X509_get_issuer_name(parsed_->x509.get()),
                    X509_get_subject_name(issuer.parsed_->x509.get())) != 0)
    return false;
  EVP_PKEY* key = issuer.parsed_->key();
  const bool verifies = key && X509_verify(parsed_->x509.get(), key) == 1;
  if (!verifies) take_openssl_error();
  return verifies;
}

bool Certificate::is_ca() const {
  const bool is_ca = X509_check_ca(parsed_->x509.get()) == 1;
  take_openssl_error();  // it looks for the key too
  return is_ca;
}

bool Certificate::says_ca() const {
  const bool says_ca = (X509_get_extension_flags(parsed_->x509.get()) & EXFLAG_CA) != 0;
  take_openssl_error();
  return says_ca;
}

std::vector<Certificate> read_pem_chain(std::string_view pem) {
  static IssuerCache issuers;
  std::vector<PemBlock> blocks;
  try {
    blocks = read_pem(pem, max_chain_length);
  } catch (const std::invalid_argument& error) {
    refuse(error.what());
  }
  if (blocks.empty()) refuse("there is no PEM block CERTIFICATE");
  std::vector<Certificate> certificates;
  for (const PemBlock& block : blocks) {
    if (block.label != "CERTIFICATE")
      refuse("there is a PEM block " + block.label + " among the certificates");
    certificates.push_back(certificates.empty() ? Certificate::from_der(block.der) : issuers.read(block.der));
  }
  return certificates;
}

}  // namespace csrq::crypto
