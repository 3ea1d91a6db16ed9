#pragma once

#include <string>
#include <vector>

#include "acme/ca.hpp"
#include "crypto/chain.hpp"

namespace csrq::acme {

/// Which of several chains to take.
struct ChainPreference {
  std::string issuer{};  ///< an issuer's common name, or a certificate's SHA-256 fingerprint; empty: none
  std::vector<crypto::Certificate> roots{};  ///< known ones, in which a fingerprint is looked for

  /// Lower-case hexadecimal without colons; empty if `issuer` is no SHA-256 fingerprint.
  std::string fingerprint() const;
};

struct ChosenChain {
  std::vector<crypto::Certificate> certificates{};  ///< checked; the end-entity certificate first
  bool is_preferred{};                              ///< or nothing was preferred
  bool is_alone{};  ///< the CA sent the end-entity certificate, without any issuer or link to one
};

/// RFC 8555 §7.4.2: downloads the certificate and makes it a whole, checked chain (crypto::checked_chain).
///
/// `application/pem-certificate-chain` is taken as it is. A single certificate (`application/pkix-cert` DER,
/// or PEM with one block) is completed issuer by issuer over the `Link: rel="up"` of each answer:
/// - PEM or DER, relative URLs;
/// - several links are tried in turn;
/// - eight levels at most, loops are refused.
///
/// If there is a preference, and the default chain does not end below the preferred issuer, this looks at the
/// `rel="alternate"` chains, too:
/// - a chain that ends below the preferred issuer is best, one that has it further down is second best;
/// - a chain that fails or does not fit never costs the good one;
/// - a fingerprint is looked for in the known roots and in what the CA sends (in the chain, or behind an `up`
///   link).
///
/// Throws Error{transient, "bad_chain" | "bad_certificate"} when no chain passes.
ChosenChain download_chain(Session& session, const std::string& url, const crypto::ChainDemand& demand,
                           const ChainPreference& preference);

}  // namespace csrq::acme
