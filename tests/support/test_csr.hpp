#pragma once

#include <string>
#include <vector>

namespace csrq::test {

/// A field of the subject, as it is: "O", V_ASN1_PRINTABLESTRING, octets.
struct SubjectField {
  std::string name{};
  int type{};
  std::string octets{};
};

/// A certificate's key, and the CSR that a careful app or a careless one makes with it.
struct CsrRecipe {
  std::vector<std::string> names{};  ///< of the SAN, as given: IP addresses become IP entries
  /// "P-256", "P-384", "P-521", "P-256 explicit" (parameters), "P-256 compressed" (point), "RSA-2048",
  /// "RSA-1024", "RSA-2048 e=3", …, "Ed25519"; made once and used again, for speed.
  std::string key{"P-256"};
  std::string digest{"SHA256"};
  std::string common_name{};
  std::vector<SubjectField> subject{};   ///< before the common name
  std::vector<std::string> dns_names{};  ///< more of the SAN, each as a DNS name whatever it is
  std::vector<std::string> emails{};
  std::vector<std::string> uris{};
  std::string ip_octets{};  ///< one more IP entry, of these octets; empty: none
  bool directory_name{false};
  bool must_staple{false};
  bool key_usage{false};                       ///< in a second extension request
  std::vector<std::string> second_request{};   ///< DNS names of a SAN in that
  std::vector<std::string> microsoft_names{};  ///< DNS names of a SAN under Microsoft's identifier
  int more_attributes{};                       ///< without a meaning
  bool pss_signature{false};                   ///< RSA-PSS
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
