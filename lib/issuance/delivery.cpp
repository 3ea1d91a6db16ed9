#include <algorithm>
#include <iterator>

#include "acme/certificate.hpp"
#include "base/encoding.hpp"
#include "base/log.hpp"
#include "issuance/issuance.hpp"
#include "store/issuers.hpp"

namespace csrq::issuance {
namespace {

using crypto::Certificate;

acme::ChainPreference preference_of(const Task& task) {
  acme::ChainPreference preference{.issuer = wanted_chain(task)};
  const std::string fingerprint = preference.fingerprint();
  if (fingerprint.empty()) return preference;
  std::ranges::copy_if(
      task.ca->roots.all(), std::back_inserter(preference.roots),
      [&](const Certificate& root) { return hex(root.fingerprint_sha256()) == fingerprint; });
  return preference;
}

/// Once for each CA and chain: every row would say the same.
void warn_of_missing_chain(PooledCa& ca, const acme::ChainPreference& preference) {
  if (!ca.is_news_of_chain(preference.issuer)) return;
  const bool is_unknown_root = !preference.fingerprint().empty() && preference.roots.empty();
  log::warning("the CA offers no chain that is preferred_chain; its default chain is used",
               {{"ca", ca.name()},
                {"preferred_chain", preference.issuer},
                {"cause", is_unknown_root ? "no root with this fingerprint is known: name a file that has it "
                                            "in the CA's roots_file"
                                          : "none of its chains has this issuer"}});
}

std::vector<Certificate> former_issuers(store::Database& database, const std::string& directory) {
  std::vector<Certificate> issuers;
  for (const std::string& chain : store::issuers_sent_by(database, directory)) try {
      std::ranges::move(crypto::read_pem_chain(chain), std::back_inserter(issuers));
    } catch (const Error&) {
      continue;  // another one may serve
    }
  return issuers;
}

/// A file of roots may hold intermediates, too: those belong into the chain.
bool is_below_root(const Certificate& certificate, const std::vector<Certificate>& known) {
  return std::ranges::any_of(known, [&](const Certificate& root) {
    return certificate.is_issued_by(root) && root.is_self_signed();
  });
}

}  // namespace

DeliveredChain Issuance::deliver(Task& task, acme::Session& session, const acme::Order& order) {
  const crypto::ChainDemand demand{
      .spki_sha256 = task.csr->spki_sha256, .names = task.csr->names, .at = clock_.now()};
  const acme::ChainPreference preference = preference_of(task);
  acme::ChosenChain chosen = acme::download_chain(session, order.certificate, demand, preference);
  if (!chosen.is_preferred) warn_of_missing_chain(*task.ca, preference);
  if (chosen.is_alone) return completed(task, demand, std::move(chosen.certificates));
  return {.chain = std::move(chosen.certificates)};
}

/// With the issuers that this CA has sent before, where they have signed it. A root may issue directly; only
/// where it is known is that certain.
DeliveredChain Issuance::completed(const Task& task, const crypto::ChainDemand& demand,
                                   std::vector<Certificate> alone) {
  // First what is at hand: the issuers that were sent before are in the database, and many.
  if (is_below_root(alone.back(), task.ca->roots.all())) return {.chain = std::move(alone)};
  DeliveredChain delivered{.chain = crypto::continued_chain(
                               std::move(alone), former_issuers(database_, task.ca->directory()), demand.at)};
  const Certificate& top = delivered.chain.back();
  const bool is_below_known_root = std::ranges::any_of(
      task.ca->roots.all(), [&](const Certificate& root) { return top.is_issued_by(root); });
  if (delivered.chain.size() == 1 && !is_below_known_root)
    delivered.warning =
        "the CA sent the certificate without its issuer, \"" + top.issuer() +
        "\", and csrq knows none that has signed it: whoever does not trust that one itself, as a root, will "
        "not trust the certificate";
  return delivered;
}

}  // namespace csrq::issuance
