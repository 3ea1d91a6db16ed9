#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

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

/// The certificates of an answer: PEM (one or many) or DER, by media type, or by looks where that says
/// neither. Throws Error{transient, "bad_certificate"} naming `url`.
std::vector<crypto::Certificate> read_certificates(const http::Response& response, const std::string& url);

/// The certificates of an answer; one that came alone is followed by its issuers, found behind the `up` links
/// of each answer. A link that fails or leads to no issuer is passed over for the next. Throws
/// Error{transient, "bad_chain"}, or what the last link ended in, when a certificate that came with links
/// stays alone, or when another try may find an issuer that this one could not.
std::vector<crypto::Certificate> complete_chain(const http::Response& response, const std::string& url,
                                                const Fetch& fetch_issuer);

/// True if the topmost certificate's issuer has the common name `preferred`, or if a certificate with the
/// SHA-256 fingerprint `preferred` (hexadecimal, colons allowed) is in `sent` and is in the chain or issued
/// its end.
bool is_preferred(const std::vector<crypto::Certificate>& chain, const std::vector<crypto::Certificate>& sent,
                  std::string_view preferred);

/// What download_chain (acme/certificate.hpp) promises, for any source.
std::vector<crypto::Certificate> choose_chain(const CertificateSource& source, const std::string& url,
                                              const crypto::ChainDemand& demand,
                                              const std::string& preferred_chain);

}  // namespace csrq::acme
