#pragma once

#include <string>
#include <vector>

namespace csrq::test {

/// A certificate's key, and the CSR that a careful app or a careless one makes with it.
struct CsrRecipe {
  std::vector<std::string> names{};  ///< of the SAN, as given: IP addresses become IP entries
  /// "P-256", "P-384", "P-521", "P-256 explicit" (parameters), "P-256 compressed" (point), "RSA-2048",
  /// "RSA-1024", …, "Ed25519"; made once and used again, for speed.
  std::string key{"P-256"};
  std::string digest{"SHA256"};
  std::string common_name{};
  std::vector<std::string> dns_names{};  ///< more of the SAN, each as a DNS name whatever it is
  std::vector<std::string> emails{};
  std::vector<std::string> uris{};
  std::string ip_octets{};  ///< one more IP entry, of these octets; empty: none
  bool directory_name{false};
  bool must_staple{false};
  bool broken_signature{false};
  bool fresh_key{false};  ///< a key of its own
  /// PKCS#8 or traditional, DER or PEM; empty: `key` says.
  std::string private_key{};
};

/// DER.
std::string csr_der(const CsrRecipe& recipe);
/// PEM, label CERTIFICATE REQUEST.
std::string csr_pem(const CsrRecipe& recipe);
/// For the usual case.
std::string csr_pem(const std::vector<std::string>& names);

}  // namespace csrq::test
