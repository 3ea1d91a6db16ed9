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

/// Puts a CA's certificates into order and checks them: the first is the end-entity certificate; each
/// following one is the issuer of the one before (strangers, repetitions and a self-signed root are left
/// out, wrong order is mended); the key is the CSR's; the names are exactly the order's; the end-entity
/// certificate does not say CA:TRUE; every certificate in the result covers `at`, give or take 5 minutes.
/// Throws Error{transient, "bad_chain"} with a sentence saying what does not fit. The result has at least
/// the end-entity certificate, which alone is accepted only if it is self-contained: issued directly by a
/// root that was among `certificates`, or `certificates` had nothing else to offer.
std::vector<Certificate> checked_chain(const std::vector<Certificate>& certificates,
                                       const ChainDemand& demand);

/// `chain` with the issuers above its end that are among `known` and valid at `at`; a self-signed root is
/// left out.
std::vector<Certificate> continued_chain(std::vector<Certificate> chain,
                                         const std::vector<Certificate>& known, Time at);

/// PEM of all, one after the other, LF only.
std::string chain_pem(const std::vector<Certificate>& chain);

}  // namespace csrq::crypto
