#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/identifier.hpp"

namespace csrq::crypto {

enum class KeyAlgorithm { rsa, ec, other };

/// A certificate signing request (PKCS#10, RFC 2986) as it was read: facts only. Which of them are acceptable
/// is decided by issuance/preflight.hpp.
struct Csr {
  std::string der{};
  bool signature_valid{};          ///< the proof of possession verifies with the CSR's own key
  std::string signature_digest{};  ///< "SHA256", "SHA1", "MD5", … ; empty for schemes without one (Ed25519)
  KeyAlgorithm key_algorithm{KeyAlgorithm::other};
  std::string key_name{};  ///< for messages: "RSA 1024", "P-256", "Ed25519"
  int key_bits{};
  std::string curve{};  ///< "P-256", "P-384", "P-521", OpenSSL's name otherwise; empty if not EC
  std::string spki_sha256{};
  std::vector<std::string> common_names{};  ///< as written
  std::vector<std::string> dns_names{};     ///< of the SAN, as written, in order, with duplicates
  std::vector<std::string>
      ip_addresses{};  ///< of the SAN, canonical text; an entry of odd length is "invalid"
  std::vector<std::string> emails{};
  std::vector<std::string> uris{};
  bool other_names{};  ///< the SAN has names of another kind (otherName, directoryName, …)
  bool must_staple{};  ///< TLS feature extension (RFC 7633)
};

/// PEM ("CERTIFICATE REQUEST" or "NEW CERTIFICATE REQUEST", LF or CRLF, text around the block ignored) or
/// DER. Throws Error{permanent, "unreadable"} naming what is wrong: no PEM block, more than one, not base64,
/// NUL octets, trailing data, not PKCS#10, larger than `max_csr_octets`.
Csr read_csr(std::string_view pem_or_der);
inline constexpr std::size_t max_csr_octets = 65536;

/// RFC 7468 PEM, label CERTIFICATE REQUEST, 64 columns, LF.
std::string csr_pem(std::string_view der);

}  // namespace csrq::crypto
