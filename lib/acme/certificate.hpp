#pragma once

#include <string>
#include <vector>

#include "acme/ca.hpp"
#include "crypto/chain.hpp"

namespace csrq::acme {

/// Which of several chains to take.
struct ChainPreference {
  std::string issuer{};  ///< an issuer's common name, or a certificate's SHA-256 fingerprint; empty: none
  std::vector<crypto::Certificate> roots{};  ///< that are known, to tell a fingerprint by

  /// Lower-case hexadecimal without colons; empty if `issuer` is no SHA-256 fingerprint.
  std::string fingerprint() const;
};

struct ChosenChain {
  std::vector<crypto::Certificate> certificates{};  ///< checked; the end-entity certificate first
  bool is_preferred{};                              ///< or nothing was preferred
  bool is_alone{};  ///< the CA sent the end-entity certificate, without any issuer or link to one
};

/// RFC 8555 §7.4.2: downloads the certificate and makes it a whole, checked chain (crypto::checked_chain).
/// - `application/pem-certificate-chain` is taken as it is;
/// - a single certificate (`application/pkix-cert` DER, or PEM with one block) is completed by following
///   `Link: rel="up"` of each answer, issuer by issuer: PEM or DER, relative URLs, several links tried in
///   turn, eight levels at most, loops refused;
/// - a preference makes it look at the `rel="alternate"` chains when the default chain does not end below the
///   preferred issuer; one that has it further down is second best; one that fails or does not fit never
///   loses the good chain. A fingerprint is told by the roots that are known, and by what the CA sends: in
///   the chain, or behind an `up` link.
/// Throws Error{transient, "bad_chain" | "bad_certificate"} when no chain passes.
ChosenChain download_chain(Session& session, const std::string& url, const crypto::ChainDemand& demand,
                           const ChainPreference& preference);

}  // namespace csrq::acme
