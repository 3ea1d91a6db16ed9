#include <algorithm>
#include <utility>

#include "acme/authorization.hpp"
#include "issuance/issuance.hpp"
#include "issuance/order_failure.hpp"

namespace csrq::issuance {
namespace {

const acme::Challenge* usable_challenge(const acme::Authorization& authorization, std::string_view type) {
  const auto found = std::ranges::find_if(authorization.challenges, [&](const acme::Challenge& challenge) {
    return challenge.type == type && challenges::is_token(challenge.token);
  });
  return found == authorization.challenges.end() ? nullptr : &*found;
}

[[noreturn]] void fail_without_challenge(const acme::Authorization& authorization, std::string_view type) {
  std::string offered;
  for (const acme::Challenge& challenge : authorization.challenges)
    offered += (offered.empty() ? "" : ", ") + challenge.type;
  fail(FailureClass::permanent, ErrorCode::no_challenge,
       "the CA offers no usable " + std::string(type) + " challenge for " + authorization.identifier.value +
           " (it offers: " + (offered.empty() ? "none" : offered) + ")");
}

store::AuthorizationRecord record_of(const acme::Authorization& authorization, std::string_view type,
                                     const std::string& thumbprint) {
  store::AuthorizationRecord record{.url = authorization.url,
                                    .identifier = authorization.identifier.value,
                                    .wildcard = authorization.wildcard,
                                    .status = authorization.status,
                                    .expires = authorization.expires,
                                    .challenge = std::nullopt};
  if (const acme::Challenge* challenge = usable_challenge(authorization, type)) {
    const bool open = authorization.status == AuthorizationStatus::pending;
    record.challenge = {
        .type = challenge->type,
        .url = challenge->url,
        .token = challenge->token,
        .status = challenge->status,
        .key_authorization = open ? challenges::key_authorization(challenge->token, thumbprint) : "",
        .error = challenge->error ? challenge->error->json : ""};
  }
  return record;
}

std::vector<acme::Authorization> read_all(acme::Session& session, const acme::Order& order) {
  std::vector<acme::Authorization> authorizations;
  authorizations.reserve(order.authorizations.size());
  for (const std::string& url : order.authorizations)
    authorizations.push_back(acme::get_authorization(session, url));
  return authorizations;
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

std::vector<store::AuthorizationRecord> records_of(const std::vector<acme::Authorization>& authorizations,
                                                   const Task& task) {
  std::vector<store::AuthorizationRecord> records;
  records.reserve(authorizations.size());
  for (const acme::Authorization& authorization : authorizations)
    records.push_back(record_of(authorization, task.solver->type(), task.account->thumbprint));
  return records;
}

/// To what the CA has not decided on, and wants to be told of.
std::vector<Response> responses_to(const std::vector<acme::Authorization>& authorizations, const Task& task) {
  std::vector<Response> responses;
  for (const acme::Authorization& authorization : authorizations) {
    if (authorization.status != AuthorizationStatus::pending) continue;
    const acme::Challenge* challenge = usable_challenge(authorization, task.solver->type());
    if (!challenge) fail_without_challenge(authorization, task.solver->type());
    if (!wants_answer(*challenge, task.work)) continue;
    responses.push_back(
        {.identifier = authorization.identifier,
         .challenge = *challenge,
         .key_authorization = challenges::key_authorization(challenge->token, task.account->thumbprint)});
  }
  return responses;
}

bool is_dead(const acme::Authorization& authorization) {
  return authorization.status != AuthorizationStatus::pending &&
         authorization.status != AuthorizationStatus::valid;
}

}  // namespace

/// Puts every response in place, in one commit, then tells the CA of all of them: only then the first wait
/// begins. Called again while the CA is at work on them, it sees what the CA says by then, and tells it
/// again.
Progress Issuance::authorize(Task& task, acme::Session& session, const acme::Order& order) {
  CaWork& work = task.work;
  if (work.read_at && CaWork::since(*work.read_at) < between_readings)
    return wait_for(task, Task::Phase::validation, order);
  const std::vector<acme::Authorization> authorizations = read_all_or_close(task, session, order);
  store::record_authorizations(database_, task.claim.fence, records_of(authorizations, task));
  if (std::ranges::any_of(authorizations, is_dead)) close_dead_order(task, order, authorizations);
  work.noted = open_failure(authorizations);
  task.placed = PlacedResponses{.order = order, .responses = responses_to(authorizations, task)};
  return answer(task, session);
}

/// Tells the CA of the responses, if need be after csrq has seen them itself, however many steps that takes.
Progress Issuance::answer(Task& task, acme::Session& session) {
  PlacedResponses placed = std::exchange(task.placed, std::nullopt).value();
  std::vector<Response>& responses = placed.responses;
  if (self_checks_ && !self_checks_->have_seen(responses, *task.solver, task.claim.customer)) {
    task.placed = std::move(placed);
    return wait_or_put_off(
        task, SelfChecks::pause,
        {.failure_class = FailureClass::limited,
         .code = to_string(ErrorCode::self_check_waits),
         .detail = "this worker looks at as many responses of others, or of the same customer, as "
                   "it may at once (challenges.http-01.self_check)",
         .problem = {},
         .retry_after = {}});
  }
  for (const Response& response : responses) acme::respond(session, response.challenge);
  CaWork& work = task.work;
  work.read_at = CaWork::Clock::now();
  if (!work.asked_at) work.asked_at = work.read_at;
  if (!responses.empty()) work.told_at = work.read_at;
  return wait_for(task, Task::Phase::validation, placed.order);
}

/// An order cannot be completed of which the CA no longer knows an authorization.
std::vector<acme::Authorization> Issuance::read_all_or_close(Task& task, acme::Session& session,
                                                             const acme::Order& order) {
  try {
    return read_all(session, order);
  } catch (const Error& error) {
    if (error.failure().code == ErrorCode::authorization_lost) {
      store::close_order(database_, task.claim.fence, task.order->id, OrderStatus::lost, error.failure());
      task.forget_order();
    }
    throw;
  }
}

/// Writes down what the authorizations of a dead order have become, and why it died.
void Issuance::give_up_order(Task& task, acme::Session& session, const acme::Order& order) {
  const std::vector<acme::Authorization> authorizations = read_what_is_left(session, order);
  store::record_authorizations(database_, task.claim.fence, records_of(authorizations, task));
  close_dead_order(task, order, authorizations);
}

void Issuance::close_dead_order(Task& task, const acme::Order& order,
                                const std::vector<acme::Authorization>& authorizations) {
  const Failure failure = order_failure(order, authorizations);
  store::close_order(database_, task.claim.fence, task.order->id, OrderStatus::invalid, failure);
  task.forget_order();
  throw Error(failure);
}

}  // namespace csrq::issuance
