#include "issuance/choose_ca.hpp"

#include <map>

#include "base/log.hpp"
#include "config/cas.hpp"

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

/// Empty: it may issue for the row's names (RFC 8659), and can be asked now.
std::string why_not(World& world, const Task& task, cas::PooledCa& ca) {
  if (ca.outage.remaining(cas::Outage::Clock::now())) return "it is out of reach as well";
  try {
    const AcceptedCsr& wanted = *task.goal.csr;
    const AcceptedCsr csr = preflight(
        wanted.der,
        {.max_names = ca.config.max_names, .accepts = ca.config.accepts, .proofs = task.goal.proofs});
    if (csr.names != wanted.names) return "it reads other names in the CSR";
    dns::CaaIssuer issuer{.domains = ca.ca.directory()->caa_identities};
    PatientLookup lookup(world.resolver);
    for (const Identifier& identifier : wanted.identifiers) {
      if (identifier.type != IdentifierType::dns) continue;
      issuer.challenge = proofs::first_able(task.goal.proofs, identifier)->type();
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

}  // namespace

void fall_back(World& world, Task& task, const std::string& open_directory) {
  const CaConfig& own = task.place.ca->config;
  cas::PooledCa& ca = world.cas.find(own.fallback_ca);
  if (open_directory != ca.directory()) {
    if (const std::string reason = why_not(world, task, ca); !reason.empty()) {
      log::warning("a row does not go to the fallback CA",
                   {{"request", task.request()}, {"ca", ca.name()}, {"cause", reason}});
      return;
    }
    log::info("a row goes to the fallback CA",
              {{"request", task.request()}, {"ca", ca.name()}, {"instead_of", own.name}});
  }
  task.place.ca = &ca;
  task.place.is_fallback = true;
}

const std::string& first_not_empty(const std::string& first, const std::string& second) {
  return first.empty() ? second : first;
}

const std::string& wanted_profile(const Task& task) {
  const std::string& configured = task.place.ca->config.profile;
  return task.place.is_fallback ? configured : first_not_empty(task.claim.profile, configured);
}

const std::string& wanted_chain(const Task& task) {
  const std::string& configured = task.place.ca->config.preferred_chain;
  return task.place.is_fallback ? configured : first_not_empty(task.claim.preferred_chain, configured);
}

}  // namespace csrq::issuance
