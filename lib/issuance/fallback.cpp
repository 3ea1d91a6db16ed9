#include <map>

#include "base/log.hpp"
#include "config/cas.hpp"
#include "issuance/issuance.hpp"

namespace csrq::issuance {
namespace {

using namespace std::chrono_literals;

/// For all names of a row together.
constexpr auto longest_lookup = 15s;

/// Asks for each name of the tree once, and not for ever.
class PatientLookup {
 public:
  explicit PatientLookup(const dns::Resolver& resolver) : resolver_(resolver) {}

  std::vector<dns::CaaRecord> operator()(const std::string& name) {
    if (const auto known = known_.find(name); known != known_.end()) return known->second;
    if (std::chrono::steady_clock::now() > until_)
      throw dns::LookupFailed("looking up CAA records takes too long");
    return known_[name] = resolver_.caa(name);
  }

 private:
  const dns::Resolver& resolver_;
  std::chrono::steady_clock::time_point until_{std::chrono::steady_clock::now() + longest_lookup};
  std::map<std::string, std::vector<dns::CaaRecord>> known_{};
};

}  // namespace

const std::string& wanted_profile(const Task& task) {
  return task.at_fallback ? task.ca->config.profile
                          : first_not_empty(task.claim.profile, task.ca->config.profile);
}

const std::string& wanted_chain(const Task& task) {
  return task.at_fallback ? task.ca->config.preferred_chain
                          : first_not_empty(task.claim.preferred_chain, task.ca->config.preferred_chain);
}

Duration with_fallback(const Task& task, Duration wait) {
  return task.ca && !task.ca->config.fallback_ca.empty() ? std::min(wait, longest_wait_before_fallback)
                                                         : wait;
}

/// Takes the row to the fallback of its CA, unless that may not or cannot issue for its names now. An order
/// that is open there (`open_directory`) is gone on with.
void Issuance::fall_back(Task& task, const std::string& open_directory) const {
  PooledCa& ca = cas_.find(task.ca->config.fallback_ca);
  if (open_directory != ca.directory()) {
    const std::string reason = why_not(task, ca);
    if (!reason.empty()) {
      log::warning(
          "a row does not go to the fallback CA",
          {{"request", store::number(task.claim.fence.request)}, {"ca", ca.name()}, {"cause", reason}});
      return;
    }
    log::info("a row goes to the fallback CA", {{"request", store::number(task.claim.fence.request)},
                                                {"ca", ca.name()},
                                                {"instead_of", task.ca->name()}});
  }
  task.ca = &ca;
  task.at_fallback = true;
}

/// Empty: it may issue for the row's names (RFC 8659), and can be asked now.
std::string Issuance::why_not(const Task& task, PooledCa& ca) const {
  if (ca.outage.remaining(Outage::Clock::now())) return "it is out of reach as well";
  try {
    const AcceptedCsr csr =
        preflight(task.csr->der,
                  {.max_names = ca.config.max_names, .accepts = ca.config.accepts, .solver = task.solver});
    if (csr.names != task.csr->names) return "it reads other names in the CSR";
    const dns::CaaIssuer issuer{.domains = ca.ca.directory()->caa_identities,
                                .challenge = std::string(task.solver->type())};
    PatientLookup lookup(resolver_);
    for (const Identifier& identifier : task.csr->identifiers) {
      if (identifier.type != IdentifierType::dns) continue;
      if (const std::string refusal = dns::caa_refusal(identifier.value, issuer, std::ref(lookup));
          !refusal.empty())
        return identifier.value + ": " + refusal;
    }
  } catch (const dns::LookupFailed& failure) {
    return failure.what();
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

}  // namespace csrq::issuance
