#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/identifier.hpp"

namespace csrq::crypto {

/// `other`: of another kind, or damaged.
enum class KeyAlgorithm { rsa, ec, ed25519, other };

/// A certificate signing request (PKCS#10, RFC 2986) as it was read: facts only. Which of them are acceptable
/// is decided by issuance/preflight.hpp.
struct Csr {
  std::string der{};
  bool signature_valid{};          ///< the proof of possession verifies with the CSR's own key
  std::string signature_scheme{};  ///< OpenSSL's name: "sha256WithRSAEncryption", "rsassaPss", "ED25519", …
  std::string signature_digest{};  ///< "SHA256", "SHA1", "MD5", … ; empty if the scheme does not name one
  KeyAlgorithm key_algorithm{KeyAlgorithm::other};
  std::string key_name{};  ///< for messages: "RSA 1024", "P-256", "Ed25519", "P-256 with a compressed point"
  int key_bits{};
  std::string curve{};  ///< "P-256", "P-384" or "P-521", named, with an uncompressed point; else empty
  std::uint64_t rsa_exponent{};  ///< 0: not RSA, or one of more than 64 bits
  std::string spki_sha256{};
  std::vector<std::string> common_names{};  ///< as written
  std::vector<std::string> dns_names{};     ///< of the SAN, as written, in order, with duplicates
  std::vector<std::string>
      ip_addresses{};  ///< of the SAN, canonical text; an entry of odd length is "invalid"
  std::vector<std::string> emails{};
  std::vector<std::string> uris{};
  bool other_names{};  ///< the SAN has names of another kind (otherName, directoryName, …)
  bool must_staple{};  ///< TLS feature extension (RFC 7633)
  /// The CSR has its SAN under Microsoft's identifier only, and none in an extension request of PKCS #9.
  bool microsoft_names{};
};

/// PEM ("CERTIFICATE REQUEST" or "NEW CERTIFICATE REQUEST", LF or CRLF, text around the block ignored) or
/// DER. It is read as CAs read it: extensions from each extension request of PKCS #9 (RFC 2985 §5.4.2), and
/// from no other attribute. Throws Error{permanent} naming what is wrong:
/// - "bad_string": a string of the subject has characters that its type cannot hold;
/// - "unreadable": anything else. No PEM block, or more than one, not base64, NUL octets, trailing data, not
///   PKCS#10, the same extension twice, larger than `max_csr_octets`.
Csr read_csr(std::string_view pem_or_der);
inline constexpr std::size_t max_csr_octets = 65536;

/// RFC 7468 PEM, label CERTIFICATE REQUEST, 64 columns, LF.
std::string csr_pem(std::string_view der);

}  // namespace csrq::crypto
