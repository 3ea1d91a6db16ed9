#include "acme/certificate.hpp"

#include "acme/chain_builder.hpp"
#include "acme/problem.hpp"
#include "base/error.hpp"

namespace csrq::acme {

namespace {

constexpr std::string_view accepted_certificates =
    "application/pem-certificate-chain, application/pkix-cert;q=0.5";
constexpr std::string_view accepted_issuers =
    "application/pkix-cert, application/pem-certificate-chain;q=0.5";

/// Some CAs keep issuers as plain files, which take no POST.
http::Response fetch_issuer(Session& session, const std::string& url) {
  constexpr RequestKind asked = RequestKind::issuer;
  try {
    return session.ca.get(session.signer, url, asked, accepted_issuers);
  } catch (const Refusal& refusal) {
    if (refusal.status() >= 500 || refusal.failure().failure_class == FailureClass::limited) throw;
  }
  return session.ca.plain_get(url, asked);
}

}  // namespace

ChosenChain download_chain(Session& session, const std::string& url, const crypto::ChainDemand& demand,
                           const ChainPreference& preference) {
  const CertificateSource source{
      .certificate =
          [&session](const std::string& target) {
            return session.ca.get(session.signer, target, RequestKind::certificate, accepted_certificates);
          },
      .issuer = [&session](const std::string& target) { return fetch_issuer(session, target); }};
  return choose_chain(source, url, demand, preference);
}

}  // namespace csrq::acme
