#include "issuance/sweep.hpp"

#include "acme/authorization.hpp"
#include "base/log.hpp"

namespace csrq::issuance {
namespace {

constexpr int batch = 100;

bool may_pass(const Failure& failure) {
  return failure.failure_class == FailureClass::transient || failure.failure_class == FailureClass::limited;
}

/// It was to be deactivated and is not. One that was pending for the ledger and is valid is kept for reuse.
bool is_left(AuthorizationStatus status, bool is_pending) {
  return status == AuthorizationStatus::pending || (status == AuthorizationStatus::valid && !is_pending);
}

/// The CA refused: it may be over already, or forgotten.
store::Settlement settle_refusal(acme::Session& session, const std::string& url, const acme::Refusal& refusal,
                                 bool is_pending) {
  const bool is_unknown = refusal.status() == 404 || refusal.status() == 410;
  if (is_unknown && refusal.says_gone()) return {.status = AuthorizationStatus::expired};
  if (may_pass(refusal.failure())) return {.failure = refusal.failure(), .again = true};
  const AuthorizationStatus status = acme::get_authorization(session, url).status;
  if (!is_left(status, is_pending)) return {.status = status};
  return {.failure = refusal.failure()};
}

/// `is_pending`: as the ledger has it, which may be behind; one that turned out valid is kept for reuse.
store::Settlement deactivate(cas::PooledCa& ca, accounts::Accounts& accounts,
                             const store::AuthorizationToSettle& authorization, bool is_pending) {
  const std::shared_ptr<const accounts::OpenAccount> account = accounts.existing(ca, authorization.owner);
  acme::Session session{.ca = ca.ca, .signer = account->signer};
  try {
    if (is_pending) {
      const AuthorizationStatus now = acme::get_authorization(session, authorization.url).status;
      if (now != AuthorizationStatus::pending) return {.status = now};
    }
    const AuthorizationStatus status = acme::deactivate_authorization(session, authorization.url).status;
    if (!is_left(status, is_pending)) return {.status = status};
    return {.failure = Failure{.failure_class = FailureClass::permanent,
                               .code = to_string(ErrorCode::not_deactivated),
                               .detail = "the CA took the deactivation of " + authorization.url +
                                         " and still calls it " + std::string(to_string(status)),
                               .problem = {},
                               .retry_after = {}}};
  } catch (const acme::Refusal& refusal) {
    return settle_refusal(session, authorization.url, refusal, is_pending);
  }
}

store::Settlement settlement_of(cas::PooledCa& ca, accounts::Accounts& accounts,
                                const store::AuthorizationToSettle& authorization, bool is_pending) {
  try {
    return deactivate(ca, accounts, authorization, is_pending);
  } catch (const Error& error) {
    if (error.failure().code == ErrorCode::authorization_lost)
      return {.status = AuthorizationStatus::expired};
    const cas::Outage::Clock::time_point now = cas::Outage::Clock::now();
    if (const auto& request = error.failure().request; request && request->status == 0)
      ca.outage.failed(now - request->took, now);
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

SweepTally sweep(store::Database& database, cas::CaPool& cas, accounts::Accounts& accounts,
                 store::SweepScope scope, const std::function<bool()>& stopped) {
  SweepTally tally;
  for (bool more = true; more;) {
    scope.directories = cas.directories_in_reach();
    const std::vector<store::AuthorizationToSettle> claimed = store::claim_to_settle(database, scope, batch);
    for (const store::AuthorizationToSettle& authorization : claimed) {
      if (stopped()) return tally;
      cas::PooledCa* ca = cas.find_by_directory(authorization.owner.directory);
      if (!ca || ca->outage.remaining(cas::Outage::Clock::now())) continue;  // due again later
      if (!store::begin_settling(database, authorization.id)) continue;
      const store::Settlement settlement = settlement_of(*ca, accounts, authorization, !scope.valid);
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
