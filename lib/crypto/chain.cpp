#include "crypto/chain.hpp"

#include <algorithm>
#include <chrono>

#include "base/error.hpp"
#include "base/text.hpp"

namespace csrq::crypto {
namespace {

constexpr auto tolerance = std::chrono::minutes(5);

[[noreturn]] void refuse(const std::string& what) {
  fail(FailureClass::transient, ErrorCode::bad_chain, what);
}

std::string names_text(const std::vector<std::string>& names) {
  return names.empty() ? "none" : joined(names);
}

bool covers(const Certificate& certificate, Time at) {
  return certificate.not_before() <= at + tolerance && certificate.not_after() >= at - tolerance;
}

bool same(const Certificate& one, const Certificate& other) {
  return one.der() == other.der();
}

bool contains(const std::vector<Certificate>& chain, const Certificate& certificate) {
  return std::ranges::any_of(chain, [&](const Certificate& one) { return same(one, certificate); });
}

const Certificate& end_entity(const std::vector<Certificate>& certificates, const ChainDemand& demand) {
  const auto found = std::ranges::find_if(
      certificates, [&](const Certificate& one) { return one.spki_sha256() == demand.spki_sha256; });
  if (found == certificates.end()) refuse("the CA's certificate is not for the key of the CSR");
  return *found;
}

void check_end_entity(const Certificate& certificate, const ChainDemand& demand) {
  if (const std::vector<std::string> names = certificate.names(); names != demand.names)
    refuse("the certificate's names are not those of the order: it has " + names_text(names) +
           ", ordered were " + names_text(demand.names));
  if (certificate.is_self_signed()) refuse("the certificate is signed by its own key, not by a CA");
  if (certificate.says_ca())
    refuse("the certificate says CA:TRUE: whoever has its key could issue others, so it is no end entity's");
}

void check_validity(const Certificate& certificate, Time at) {
  if (!covers(certificate, at))
    refuse("the certificate of " + certificate.subject() + " is valid from " +
           to_rfc3339(certificate.not_before()) + " to " + to_rfc3339(certificate.not_after()) +
           ", which does not cover the present (" + to_rfc3339(at) + "); is this machine's clock right?");
}

/// Of several issuers of the same name and key (cross-signing) one that is valid is preferred. Null: none.
const Certificate* issuer_of(const std::vector<Certificate>& chain,
                             const std::vector<Certificate>& certificates, Time at) {
  const Certificate* found = nullptr;
  for (const Certificate& candidate : certificates) {
    if (contains(chain, candidate) || !candidate.is_ca() || !chain.back().is_issued_by(candidate)) continue;
    if (covers(candidate, at)) return &candidate;
    if (!found) found = &candidate;
  }
  return found;
}

}  // namespace

std::vector<Certificate> checked_chain(const std::vector<Certificate>& certificates,
                                       const ChainDemand& demand) {
  if (certificates.empty()) refuse("the CA sent no certificate");
  const Certificate& leaf = end_entity(certificates, demand);
  check_end_entity(leaf, demand);
  check_validity(leaf, demand.at);
  std::vector<Certificate> chain{leaf};
  bool reached_root = false;
  while (const Certificate* issuer = issuer_of(chain, certificates, demand.at)) {
    reached_root = issuer->is_self_signed();
    if (reached_root) break;
    check_validity(*issuer, demand.at);
    chain.push_back(*issuer);
  }
  const bool alone =
      std::ranges::all_of(certificates, [&](const Certificate& one) { return same(one, leaf); });
  if (chain.size() == 1 && !reached_root && !alone)
    refuse("none of the certificates that the CA sent along has issued the end-entity certificate");
  return chain;
}

std::vector<Certificate> continued_chain(std::vector<Certificate> chain,
                                         const std::vector<Certificate>& known, Time at) {
  while (chain.size() < max_chain_length) {
    const Certificate* issuer = issuer_of(chain, known, at);
    if (!issuer || issuer->is_self_signed() || !covers(*issuer, at)) break;
    chain.push_back(*issuer);
  }
  return chain;
}

std::string chain_pem(const std::vector<Certificate>& chain) {
  std::string pem;
  for (const Certificate& certificate : chain) pem += certificate.pem();
  return pem;
}

}  // namespace csrq::crypto
