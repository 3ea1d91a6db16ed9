#include "issuance/delivery.hpp"

#include <algorithm>
#include <iterator>

#include "acme/certificate.hpp"
#include "base/encoding.hpp"
#include "base/log.hpp"
#include "config/renewal.hpp"
#include "config/retry.hpp"
#include "issuance/choose_ca.hpp"
#include "renewals/renewal_time.hpp"
#include "store/issuers.hpp"

namespace csrq::issuance {
namespace {

using namespace std::chrono_literals;
using crypto::Certificate;

/// A chain as it goes into the row.
struct DeliveredChain {
  std::vector<Certificate> chain{};
  std::string warning{};  ///< for the row's history; empty: none
};

acme::ChainPreference preference_of(const Task& task) {
  acme::ChainPreference preference{.issuer = wanted_chain(task)};
  const std::string fingerprint = preference.fingerprint();
  if (fingerprint.empty()) return preference;
  std::ranges::copy_if(
      task.place.ca->roots.all(), std::back_inserter(preference.roots),
      [&](const Certificate& root) { return hex(root.fingerprint_sha256()) == fingerprint; });
  return preference;
}

/// Once for each CA and chain: every row would say the same.
void warn_of_missing_chain(cas::PooledCa& ca, const acme::ChainPreference& preference) {
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

/// With the issuers that this CA has sent before, where they have signed it. A root may issue directly; only
/// where it is known is that certain.
DeliveredChain completed(World& world, const cas::PooledCa& ca, Time at, std::vector<Certificate> alone) {
  // First what is at hand: the issuers that were sent before are in the database, and many.
  if (is_below_root(alone.back(), ca.roots.all())) return {.chain = std::move(alone)};
  DeliveredChain delivered{
      .chain = crypto::continued_chain(std::move(alone), former_issuers(world.database, ca.directory()), at)};
  const Certificate& top = delivered.chain.back();
  const bool is_below_known_root =
      std::ranges::any_of(ca.roots.all(), [&](const Certificate& root) { return top.is_issued_by(root); });
  if (delivered.chain.size() == 1 && !is_below_known_root)
    delivered.warning =
        "the CA sent the certificate without its issuer, \"" + top.issuer() +
        "\", and csrq knows none that has signed it: whoever does not trust that one itself, as a root, will "
        "not trust the certificate";
  return delivered;
}

DeliveredChain download(World& world, const Task& task, acme::Session& session, const acme::Order& order) {
  const AcceptedCsr& csr = *task.goal.csr;
  const crypto::ChainDemand demand{
      .spki_sha256 = csr.spki_sha256, .names = csr.names, .at = world.clock.now()};
  const acme::ChainPreference preference = preference_of(task);
  acme::ChosenChain chosen = acme::download_chain(session, order.certificate, demand, preference);
  cas::PooledCa& ca = *task.place.ca;
  if (!chosen.is_preferred) warn_of_missing_chain(ca, preference);
  if (chosen.is_alone) return completed(world, ca, demand.at, std::move(chosen.certificates));
  return {.chain = std::move(chosen.certificates)};
}

/// Not at once again, however old the certificate is that the CA hands out, be it expired.
Time renew_at(World& world, const Task& task, const Certificate& leaf) {
  const std::vector<Duration>& schedule = world.retry.schedule;
  const Duration first_retry = schedule.empty() ? 1min : schedule.front();
  const Time now = world.clock.now();
  const Time earliest = now + std::max(first_retry, std::min<Duration>(24h, (leaf.not_after() - now) / 10));
  const double jitter = renewals::stable_share(task.claim.fence.request);
  return std::max(
      renewals::renewal_time(leaf.not_before(), leaf.not_after(), world.renewal.at_remaining, jitter),
      earliest);
}

}  // namespace

Progress deliver(World& world, Task& task, acme::Session& session, const acme::Order& order) {
  const auto [chain, warning] = download(world, task, session, order);
  const Certificate& leaf = chain.front();
  const bool written = store::complete(world.database, task.claim.fence,
                                       {.order = task.order.open->id,
                                        .chain = crypto::chain_pem(chain),
                                        .issuers = crypto::chain_pem({chain.begin() + 1, chain.end()}),
                                        .der = leaf.der(),
                                        .serial = leaf.serial(),
                                        .renewal_info_id = leaf.renewal_info_id(),
                                        .not_before = leaf.not_before(),
                                        .not_after = leaf.not_after(),
                                        .renew_at = renew_at(world, task, leaf),
                                        .warning = warning});
  if (!written) return Progress::dropped();
  take_away(task.order.answers);
  return Progress::issued();
}

}  // namespace csrq::issuance
