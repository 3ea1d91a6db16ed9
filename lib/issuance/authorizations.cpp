#include "issuance/authorizations.hpp"

#include <algorithm>

#include "issuance/order_failure.hpp"
#include "issuance/orders.hpp"

namespace csrq::issuance {
namespace {

store::AuthorizationRecord record_of(const acme::Authorization& authorization,
                                     const proofs::Candidates& candidates, const proofs::Prover& prover) {
  store::AuthorizationRecord record{.url = authorization.url,
                                    .identifier = authorization.identifier.value,
                                    .wildcard = authorization.wildcard,
                                    .status = authorization.status,
                                    .expires = authorization.expires};
  if (const std::optional<proofs::Choice> choice = proofs::choose(candidates, authorization, prover)) {
    const acme::Challenge& challenge = choice->answer.challenge;
    const bool is_open = authorization.status == AuthorizationStatus::pending;
    record.challenge = {.type = challenge.type,
                        .url = challenge.url,
                        .token = challenge.token,
                        .status = challenge.status,
                        .key_authorization = is_open ? choice->answer.key_authorization : "",
                        .error = challenge.error ? challenge.error->json : ""};
  }
  return record;
}

void record(World& world, const Task& task, const std::vector<acme::Authorization>& authorizations) {
  std::vector<store::AuthorizationRecord> records;
  records.reserve(authorizations.size());
  for (const acme::Authorization& authorization : authorizations)
    records.push_back(record_of(authorization, task.goal.proofs, task.prover()));
  store::record_authorizations(world.database, task.claim.fence, records);
}

/// An order cannot be completed of which the CA no longer knows an authorization.
std::vector<acme::Authorization> read_all_or_close(World& world, Task& task, acme::Session& session,
                                                   const acme::Order& order) {
  try {
    std::vector<acme::Authorization> authorizations;
    authorizations.reserve(order.authorizations.size());
    for (const std::string& url : order.authorizations)
      authorizations.push_back(acme::get_authorization(session, url));
    return authorizations;
  } catch (const Error& error) {
    if (error.failure().code == ErrorCode::authorization_lost)
      close_order(world, task, OrderStatus::lost, error.failure());
    throw;
  }
}

/// As far as the CA still shows them: the order is dead in any case.
std::vector<acme::Authorization> read_what_is_left(acme::Session& session, const acme::Order& order) {
  std::vector<acme::Authorization> authorizations;
  for (const std::string& url : order.authorizations) {
    try {
      authorizations.push_back(acme::get_authorization(session, url));
    } catch (const acme::Refusal& refusal) {
      if (refusal.status() >= 500) throw;
    } catch (const Error& error) {
      if (error.failure().code != ErrorCode::authorization_lost) throw;
    }
  }
  return authorizations;
}

bool is_dead(const acme::Authorization& authorization) {
  return authorization.status != AuthorizationStatus::pending &&
         authorization.status != AuthorizationStatus::valid;
}

[[noreturn]] void close_dead_order(World& world, Task& task, const acme::Order& order,
                                   const std::vector<acme::Authorization>& authorizations) {
  const Failure failure = order_failure(order, authorizations);
  close_order(world, task, OrderStatus::invalid, failure);
  throw Error(failure);
}

}  // namespace

std::vector<acme::Authorization> read_authorizations(World& world, Task& task, acme::Session& session,
                                                     const acme::Order& order) {
  std::vector<acme::Authorization> authorizations = read_all_or_close(world, task, session, order);
  record(world, task, authorizations);
  if (std::ranges::any_of(authorizations, is_dead)) close_dead_order(world, task, order, authorizations);
  return authorizations;
}

void give_up_order(World& world, Task& task, acme::Session& session, const acme::Order& order) {
  const std::vector<acme::Authorization> authorizations = read_what_is_left(session, order);
  record(world, task, authorizations);
  close_dead_order(world, task, order, authorizations);
}

}  // namespace csrq::issuance
