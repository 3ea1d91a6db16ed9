#include "issuance/sweep.hpp"

#include "acme/authorization.hpp"
#include "base/log.hpp"

namespace csrq::issuance {
namespace {

constexpr int batch = 100;

bool may_pass(const Failure& failure) {
  return failure.failure_class == FailureClass::transient || failure.failure_class == FailureClass::limited;
}

/// The CA refused: it may be over already, or forgotten.
store::Settlement settle_refusal(acme::Session& session, const std::string& url,
                                 const acme::Refusal& refusal) {
  if (refusal.status() == 404 || refusal.status() == 410) return {.status = AuthorizationStatus::expired};
  if (may_pass(refusal.failure())) return {.failure = refusal.failure(), .again = true};
  try {
    const AuthorizationStatus status = acme::get_authorization(session, url).status;
    if (status != AuthorizationStatus::pending) return {.status = status};
  } catch (const acme::Refusal& unreadable) {
    if (unreadable.status() == 404 || unreadable.status() == 410)
      return {.status = AuthorizationStatus::expired};
  }
  return {.failure = refusal.failure()};
}

store::Settlement deactivate(PooledCa& ca, Accounts& accounts,
                             const store::AuthorizationToSettle& authorization) {
  const std::shared_ptr<const Account> account = accounts.existing(ca, authorization.owner);
  acme::Session session{.ca = ca.ca, .signer = account->signer};
  try {
    const AuthorizationStatus status = acme::deactivate_authorization(session, authorization.url).status;
    if (status != AuthorizationStatus::pending) return {.status = status};
    return {.failure = Failure{.failure_class = FailureClass::permanent,
                               .code = "not_deactivated",
                               .detail = "the CA took the deactivation of " + authorization.url +
                                         " and still calls it pending",
                               .problem = {},
                               .retry_after = {}}};
  } catch (const acme::Refusal& refusal) {
    return settle_refusal(session, authorization.url, refusal);
  }
}

store::Settlement settlement_of(CaPool& cas, Accounts& accounts,
                                const store::AuthorizationToSettle& authorization) {
  try {
    PooledCa* ca = cas.find_by_directory(authorization.owner.directory);
    if (!ca)
      fail(FailureClass::permanent, "unknown_ca", authorization.owner.directory + " is not configured");
    return deactivate(*ca, accounts, authorization);
  } catch (const Error& error) {
    return {.failure = error.failure(), .again = may_pass(error.failure())};
  }
}

void count(SweepTally& tally, const store::Settlement& settlement) {
  if (settlement.failure)
    ++tally.left;
  else if (settlement.status == AuthorizationStatus::deactivated)
    ++tally.deactivated;
  else
    ++tally.over;
}

}  // namespace

SweepTally sweep(store::Database& database, CaPool& cas, Accounts& accounts, store::SweepScope scope) {
  SweepTally tally;
  for (bool more = true; more;) {
    scope.directories = cas.directories_in_reach();
    const std::vector<store::AuthorizationToSettle> claimed = store::claim_to_settle(database, scope, batch);
    for (const store::AuthorizationToSettle& authorization : claimed) {
      const store::Settlement settlement = settlement_of(cas, accounts, authorization);
      store::settled(database, authorization.id, settlement);
      count(tally, settlement);
      log::info("an authorization that no order needs is settled",
                {{"identifier", authorization.identifier},
                 {"customer", authorization.customer},
                 {"outcome", settlement.failure ? settlement.failure->detail
                                                : std::string(to_string(*settlement.status))}});
    }
    more = !claimed.empty();
  }
  return tally;
}

}  // namespace csrq::issuance
