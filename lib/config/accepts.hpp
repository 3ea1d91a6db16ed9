#pragma once

#include <vector>

namespace csrq {

/// Kinds of keys that a certificate may have.
enum class CertificateKey {
  rsa,  ///< of any size from 2048 to 4096 bits
  rsa_2048,
  rsa_3072,
  rsa_4096,
  ec_p256,
  ec_p384,
  ec_p521,
  ed25519
};

/// What is done with a CSR that has alternative names which are neither DNS names nor IP addresses.
enum class OtherNames { refuse, ignore };

/// What a CA takes in a CSR. The defaults are for a CA that csrq knows nothing of.
struct AcceptsConfig {
  std::vector<CertificateKey> keys{CertificateKey::rsa, CertificateKey::ec_p256, CertificateKey::ec_p384};
  bool other_exponents{true};       ///< of RSA, than 65537; known of a CA, not configured
  bool must_staple{false};          ///< the TLS feature extension (RFC 7633)
  bool common_name_only{true};      ///< a host name that stands in the common name alone
  bool display_common_name{false};  ///< a common name that is no host name
  bool single_labels{true};         ///< host names without a dot
  OtherNames other_names{OtherNames::refuse};
  bool operator==(const AcceptsConfig&) const = default;
};

}  // namespace csrq
