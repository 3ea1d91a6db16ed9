#pragma once

#include <functional>
#include <string>
#include <vector>

#include "acme/certificate.hpp"
#include "crypto/chain.hpp"
#include "http/client.hpp"

namespace csrq::acme {

/// Brings the answer (a success) of a URL; throws Error for any other.
using Fetch = std::function<http::Response(const std::string& url)>;

/// How the chain builder reaches the CA.
struct CertificateSource {
  Fetch certificate;  ///< the certificate resource and its alternates
  Fetch issuer;       ///< what an `up` link names
};

inline constexpr std::size_t max_issuer_levels = 8;
inline constexpr std::size_t max_certificate_octets = 256 << 10;

/// The certificates of an answer: PEM (one or many) or DER. The media type decides; where it says neither,
/// the content does. Throws Error{transient, "bad_certificate"} naming `url`.
std::vector<crypto::Certificate> read_certificates(const http::Response& response, const std::string& url);

/// The certificates of an answer. If one came alone, its issuers follow, found behind the `up` links of each
/// answer. If a link fails or leads to no issuer, the next one is tried.
/// Throws Error{transient, "bad_chain"}, or what the last link ended in,
/// - when a certificate that came with links stays alone,
/// - when another try may find an issuer that this one could not find.
std::vector<crypto::Certificate> complete_chain(const http::Response& response, const std::string& url,
                                                const Fetch& fetch_issuer);

/// How well a chain is what was asked for.
enum class ChainFit {
  none,
  passes,  ///< the preferred issuer stands somewhere in it, with others above
  ends,    ///< it ends below the preferred issuer, or that is the end-entity certificate's own
};
/// `sent`: what came with the chain, where the preferred root may be, too.
ChainFit fit_of(const std::vector<crypto::Certificate>& chain, const std::vector<crypto::Certificate>& sent,
                const ChainPreference& preference);

/// What download_chain (acme/certificate.hpp) promises, for any source.
ChosenChain choose_chain(const CertificateSource& source, const std::string& url,
                         const crypto::ChainDemand& demand, const ChainPreference& preference);

}  // namespace csrq::acme
