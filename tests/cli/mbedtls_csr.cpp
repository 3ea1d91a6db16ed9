#include "cli/mbedtls_csr.hpp"

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/ecp.h>
#include <mbedtls/entropy.h>
#include <mbedtls/oid.h>
#include <mbedtls/version.h>
#include <mbedtls/x509_csr.h>

#include <array>
#include <stdexcept>

namespace csrq::test {
namespace {

void must(int result, const char* what) {
  if (result != 0) throw std::runtime_error(std::string("mbedTLS: ") + what);
}

/// Only of names below 100 octets.
std::string alternative_name(const std::string& dns_name) {
  const auto element = [](char tag, const std::string& content) {
    return std::string{tag, static_cast<char>(content.size())} + content;
  };
  return element('\x30', element('\x82', dns_name));
}

void add_alternative_name(mbedtls_x509write_csr& csr, const std::string& dns_name) {
  const std::string value = alternative_name(dns_name);
  const auto* octets = reinterpret_cast<const unsigned char*>(value.data());
#if MBEDTLS_VERSION_MAJOR < 3
  const int result = mbedtls_x509write_csr_set_extension(&csr, MBEDTLS_OID_SUBJECT_ALT_NAME,
                                                         MBEDTLS_OID_SIZE(MBEDTLS_OID_SUBJECT_ALT_NAME),
                                                         octets, value.size());
#else
  constexpr int critical = 0;
  const int result = mbedtls_x509write_csr_set_extension(&csr, MBEDTLS_OID_SUBJECT_ALT_NAME,
                                                         MBEDTLS_OID_SIZE(MBEDTLS_OID_SUBJECT_ALT_NAME),
                                                         critical, octets, value.size());
#endif
  must(result, "alternative name");
}

/// Random numbers, a key and a request, freed together.
struct Writer {
  Writer() {
    mbedtls_entropy_init(&entropy);
    mbedtls_ctr_drbg_init(&random);
    mbedtls_pk_init(&key);
    mbedtls_x509write_csr_init(&csr);
  }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;
  ~Writer() {
    mbedtls_x509write_csr_free(&csr);
    mbedtls_pk_free(&key);
    mbedtls_ctr_drbg_free(&random);
    mbedtls_entropy_free(&entropy);
  }

  mbedtls_entropy_context entropy{};
  mbedtls_ctr_drbg_context random{};
  mbedtls_pk_context key{};
  mbedtls_x509write_csr csr{};
};

}  // namespace

std::string mbedtls_csr(const std::string& subject, const std::string& dns_name) {
  Writer writer;
  must(mbedtls_ctr_drbg_seed(&writer.random, mbedtls_entropy_func, &writer.entropy, nullptr, 0),
       "random numbers");
  must(mbedtls_pk_setup(&writer.key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY)), "key");
  must(mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(writer.key), mbedtls_ctr_drbg_random,
                           &writer.random),
       "key");
  mbedtls_x509write_csr_set_md_alg(&writer.csr, MBEDTLS_MD_SHA256);
  mbedtls_x509write_csr_set_key(&writer.csr, &writer.key);
  must(mbedtls_x509write_csr_set_subject_name(&writer.csr, subject.c_str()), "subject");
  must(mbedtls_x509write_csr_set_key_usage(&writer.csr, MBEDTLS_X509_KU_DIGITAL_SIGNATURE), "key usage");
  if (!dns_name.empty()) add_alternative_name(writer.csr, dns_name);
  std::array<unsigned char, 4096> pem{};
  must(
      mbedtls_x509write_csr_pem(&writer.csr, pem.data(), pem.size(), mbedtls_ctr_drbg_random, &writer.random),
      "PEM");
  return reinterpret_cast<const char*>(pem.data());
}

}  // namespace csrq::test
