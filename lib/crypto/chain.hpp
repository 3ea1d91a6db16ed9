#pragma once

#include <string>
#include <vector>

#include "crypto/certificate.hpp"

namespace csrq::crypto {

/// What a chain must fit before it may be written into a row.
struct ChainDemand {
  std::string spki_sha256{};         ///< of the CSR's key
  std::vector<std::string> names{};  ///< of the order: sorted, lower-case
  Time at{};                         ///< now; validity must cover it with five minutes of tolerance
};

/// Puts a CA's certificates into order and checks them. Strangers, repetitions and a self-signed root are
/// left out, wrong order is mended. In the result
/// - the first is the end-entity certificate, and each following one is the issuer of the one before;
/// - the end-entity certificate has the CSR's key and exactly the order's names, and does not say CA:TRUE;
/// - every certificate covers `at`, give or take 5 minutes.
/// The end-entity certificate may stand alone only if a root among `certificates` has issued it directly, or
/// if `certificates` had nothing else to offer. Throws Error{transient, "bad_chain"} with a sentence saying
/// what does not fit.
std::vector<Certificate> checked_chain(const std::vector<Certificate>& certificates,
                                       const ChainDemand& demand);

/// `chain`, followed by the issuers above its end that are among `known` and valid at `at`. A self-signed
/// root is left out.
std::vector<Certificate> continued_chain(std::vector<Certificate> chain,
                                         const std::vector<Certificate>& known, Time at);

/// PEM of all, one after the other, LF only.
std::string chain_pem(const std::vector<Certificate>& chain);

}  // namespace csrq::crypto
