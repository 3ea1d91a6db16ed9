#pragma once

#include <string>
#include <vector>

#include "acme/ca.hpp"
#include "crypto/chain.hpp"

namespace csrq::acme {

/// RFC 8555 §7.4.2: downloads the certificate and makes it a whole, checked chain (crypto::checked_chain).
/// - `application/pem-certificate-chain` is taken as it is;
/// - a single certificate (`application/pkix-cert` DER, or PEM with one block) is completed by following
/// `Link: rel="up"` of
///   each answer, issuer by issuer: PEM or DER, relative URLs, several links tried in turn, eight levels at
///   most, loops refused;
/// - `preferred_chain` (an issuer's common name, or the SHA-256 fingerprint of a root in hexadecimal) makes
/// it look at the
///   `rel="alternate"` chains when the default chain does not match; one that fails or does not fit never
///   loses the good chain. A fingerprint can only match where the CA sends the root itself: in the chain, or
///   behind an `up` link.
/// Throws Error{transient, "bad_chain" | "bad_certificate"} when no chain passes.
std::vector<crypto::Certificate> download_chain(Session& session, const std::string& url,
                                                const crypto::ChainDemand& demand,
                                                const std::string& preferred_chain);

}  // namespace csrq::acme
