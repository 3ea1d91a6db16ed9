#include "acme/chain_builder.hpp"

#include <algorithm>
#include <optional>
#include <set>

#include "acme/problem.hpp"
#include "base/encoding.hpp"
#include "base/error.hpp"
#include "base/identifier.hpp"
#include "base/log.hpp"
#include "http/link.hpp"

namespace csrq::acme {

namespace {

using crypto::Certificate;
using Certificates = std::vector<Certificate>;

constexpr std::size_t max_links = 8;
constexpr char der_sequence = '\x30';

[[noreturn]] void fail_certificate(const std::string& url, const std::string& what) {
  fail(FailureClass::transient, ErrorCode::bad_certificate, url + ": " + what);
}

bool contains(const Certificates& certificates, const Certificate& wanted) {
  return std::ranges::any_of(certificates, [&](const Certificate& one) { return one.der() == wanted.der(); });
}

std::vector<std::string> links_of(const http::Response& response, std::string_view relation,
                                  const std::string& url) {
  std::vector<std::string> found = http::links(response.headers_named("link"), relation, url);
  if (found.size() > max_links) found.resize(max_links);
  return found;
}

/// Appends whatever continues the chain, in whatever order it came; false if nothing does.
bool append_issuers(Certificates& chain, const Certificates& candidates) {
  const std::size_t length = chain.size();
  while (chain.size() <= max_issuer_levels) {
    const auto issuer = std::ranges::find_if(candidates, [&](const Certificate& candidate) {
      return !contains(chain, candidate) && chain.back().is_issued_by(candidate);
    });
    if (issuer == candidates.end()) break;
    chain.push_back(*issuer);
  }
  return chain.size() > length;
}

/// A refusal, or something that is no certificate, will be the same next time.
bool may_pass(const Error& error) {
  if (const auto* refusal = dynamic_cast<const Refusal*>(&error))
    return refusal->status() >= 500 || refusal->failure().failure_class == FailureClass::limited;
  return error.failure().failure_class == FailureClass::transient &&
         error.failure().code != ErrorCode::bad_certificate;
}

/// Follows `up` links from one certificate to the next.
class Climber {
 public:
  Climber(Certificates chain, const Fetch& fetch) : chain_(std::move(chain)), fetch_(fetch) {}

  Certificates climb(const http::Response& response, const std::string& url) {
    seen_.insert(url);
    std::vector<std::string> links = links_of(response, "up", url);
    while (!links.empty() && !chain_.back().is_self_signed()) {
      if (chain_.size() > max_issuer_levels)
        fail(FailureClass::transient, ErrorCode::bad_chain,
             url + ": the certificate has more than " + std::to_string(max_issuer_levels) +
                 " issuers above it");
      if (!step(links)) {
        give_up(url);
        break;
      }
    }
    return std::move(chain_);
  }

 private:
  /// One level up by the first of `links` that leads to an issuer; `links` become those of its answer.
  bool step(std::vector<std::string>& links) {
    failure_.reset();
    for (const std::string& link : links) {
      if (!seen_.insert(link).second) continue;
      try {
        const http::Response response = fetch_(link);
        if (!append_issuers(chain_, read_certificates(response, link))) continue;
        links = links_of(response, "up", link);
        return true;
      } catch (const Error& error) {
        if (!failure_ || may_pass(error))
          failure_ = {.failure = error.failure(), .may_pass = may_pass(error)};
      }
    }
    return false;
  }

  /// A chain that has at least one issuer is kept, unless a passing failure cut it short.
  void give_up(const std::string& url) const {
    if (failure_ && (chain_.size() == 1 || failure_->may_pass)) throw Error(failure_->failure);
    if (chain_.size() == 1)
      fail(FailureClass::transient, ErrorCode::bad_chain,
           url + ": none of the certificate's `up` links leads to its issuer");
  }

  struct LinkFailure {
    Failure failure{};
    bool may_pass{};
  };

  Certificates chain_;
  const Fetch& fetch_;
  std::set<std::string> seen_{};
  std::optional<LinkFailure> failure_{};
};

/// A chain, checked, and how well it fits.
struct Candidate {
  ChosenChain chosen{};
  ChainFit fit{};
};

Candidate candidate(const Certificates& sent, const crypto::ChainDemand& demand,
                    const ChainPreference& preference) {
  Certificates chain = crypto::checked_chain(sent, demand);
  const ChainFit fit = fit_of(chain, sent, preference);
  const bool is_alone =
      std::ranges::all_of(sent, [&](const Certificate& one) { return one.der() == chain.front().der(); });
  return {.chosen = {.certificates = std::move(chain),
                     .is_preferred = preference.issuer.empty() || fit != ChainFit::none,
                     .is_alone = is_alone},
          .fit = fit};
}

/// Nothing if it does not pass.
std::optional<Candidate> alternate_candidate(const CertificateSource& source, const std::string& url,
                                             const crypto::ChainDemand& demand,
                                             const ChainPreference& preference) {
  try {
    return candidate(complete_chain(source.certificate(url), url, source.issuer), demand, preference);
  } catch (const Error& error) {
    if (error.failure().code == ErrorCode::paced) throw;  // our own doing
    log::warning("an alternate chain is passed over", {{"url", url}, {"cause", error.what()}});
  }
  return std::nullopt;
}

}  // namespace

Certificates read_certificates(const http::Response& response, const std::string& url) {
  if (response.body.size() > max_certificate_octets)
    fail_certificate(url, "the answer is larger than " + std::to_string(max_certificate_octets) + " octets");
  const std::string type = response.media_type();
  const bool is_pem = response.body.find("-----BEGIN ") != std::string::npos;
  const bool is_der = response.body.starts_with(der_sequence) && !type.starts_with("application/pkcs7");
  try {
    if (type == "application/pem-certificate-chain" || is_pem) return crypto::read_pem_chain(response.body);
    if (type == "application/pkix-cert" || is_der) return {Certificate::from_der(response.body)};
  } catch (const Error& error) {
    fail_certificate(url, error.what());
  }
  fail_certificate(url, "expected a certificate in PEM or DER, the answer is " +
                            (type.empty() ? "of no media type" : type.substr(0, 100)));
}

Certificates complete_chain(const http::Response& response, const std::string& url,
                            const Fetch& fetch_issuer) {
  Certificates certificates = read_certificates(response, url);
  if (certificates.size() != 1) return certificates;
  return Climber(std::move(certificates), fetch_issuer).climb(response, url);
}

std::string ChainPreference::fingerprint() const {
  std::string digits = to_lower_ascii(issuer);
  std::erase(digits, ':');
  const bool is_one =
      digits.size() == 64 && digits.find_first_not_of("0123456789abcdef") == std::string::npos;
  return is_one ? digits : std::string();
}

ChainFit fit_of(const Certificates& chain, const Certificates& sent, const ChainPreference& preference) {
  if (chain.empty() || preference.issuer.empty()) return ChainFit::none;
  const std::string fingerprint = preference.fingerprint();
  const auto is_preferred_issuer = [&](const Certificate& one, const Certificate& issuer) {
    return hex(issuer.fingerprint_sha256()) == fingerprint && one.is_issued_by(issuer);
  };
  const auto is_below = [&](const Certificate& one) {
    const auto is_its_issuer = [&](const Certificate& issuer) { return is_preferred_issuer(one, issuer); };
    return one.issuer_common_name() == preference.issuer ||
           (!fingerprint.empty() && (std::ranges::any_of(sent, is_its_issuer) ||
                                     std::ranges::any_of(preference.roots, is_its_issuer)));
  };
  if (is_below(chain.back()) || is_below(chain.front())) return ChainFit::ends;
  return std::ranges::any_of(chain, is_below) ? ChainFit::passes : ChainFit::none;
}

ChosenChain choose_chain(const CertificateSource& source, const std::string& url,
                         const crypto::ChainDemand& demand, const ChainPreference& preference) {
  const http::Response response = source.certificate(url);
  std::optional<Candidate> best;
  std::optional<Failure> failure;
  try {
    best = candidate(complete_chain(response, url, source.issuer), demand, preference);
  } catch (const Error& error) {
    failure = error.failure();
  }
  if (!preference.issuer.empty() && (!best || best->fit != ChainFit::ends)) {
    for (const std::string& alternate : links_of(response, "alternate", url)) {
      std::optional<Candidate> found = alternate_candidate(source, alternate, demand, preference);
      if (!found || found->fit <= (best ? best->fit : ChainFit::none)) continue;
      best = std::move(found);
      if (best->fit == ChainFit::ends) break;
    }
  }
  if (!best) throw Error(*failure);
  return std::move(best->chosen);
}

}  // namespace csrq::acme
