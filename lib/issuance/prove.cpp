#include "issuance/prove.hpp"

#include <utility>

#include "issuance/authorizations.hpp"
#include "issuance/await_ca.hpp"
#include "issuance/order_failure.hpp"
#include "issuance/wait.hpp"

namespace csrq::issuance {
namespace {

[[noreturn]] void fail_without_challenge(const acme::Authorization& authorization, std::string_view type) {
  std::string offered;
  for (const acme::Challenge& challenge : authorization.challenges)
    offered += (offered.empty() ? "" : ", ") + challenge.type;
  fail(FailureClass::permanent, "no_challenge",
       "the CA offers no usable " + std::string(type) + " challenge for " + authorization.identifier.value +
           " (it offers: " + (offered.empty() ? "none" : offered) + ")");
}

/// To what the CA has not decided on, and wants to be told of.
std::vector<Response> responses_to(const std::vector<acme::Authorization>& authorizations, const Task& task) {
  const std::string_view type = task.goal.solver->type();
  std::vector<Response> responses;
  for (const acme::Authorization& authorization : authorizations) {
    if (authorization.status != AuthorizationStatus::pending) continue;
    const acme::Challenge* challenge = usable_challenge(authorization, type);
    if (!challenge) fail_without_challenge(authorization, type);
    if (!wants_answer(*challenge, task.order.work)) continue;
    responses.push_back({.identifier = authorization.identifier,
                         .challenge = *challenge,
                         .key_authorization = challenges::key_authorization(challenge->token,
                                                                            task.place.account->thumbprint)});
  }
  return responses;
}

}  // namespace

Progress prove(World& world, Task& task, acme::Session& session, const acme::Order& order) {
  CaWork& work = task.order.work;
  if (work.read_at && CaWork::since(*work.read_at) < between_readings)
    return await_validation(world, task, order);
  const std::vector<acme::Authorization> authorizations = read_authorizations(world, task, session, order);
  work.noted = open_failure(authorizations);
  task.order.placed = PlacedResponses{.order = order, .responses = responses_to(authorizations, task)};
  return tell_ca(world, task, session);
}

Progress tell_ca(World& world, Task& task, acme::Session& session) {
  PlacedResponses placed = std::exchange(task.order.placed, std::nullopt).value();
  if (world.self_checks &&
      !world.self_checks->have_seen(placed.responses, *task.goal.solver, task.claim.customer)) {
    task.order.placed = std::move(placed);
    return wait(world, task, {.wait = SelfChecks::pause},
                {.failure_class = FailureClass::limited,
                 .code = "self_check_waits",
                 .detail = "this worker looks at as many responses of others, or of the same customer, as "
                           "it may at once (challenges.http-01.self_check)"});
  }
  for (const Response& response : placed.responses) acme::respond(session, response.challenge);
  CaWork& work = task.order.work;
  work.read_at = CaWork::Clock::now();
  if (!work.asked_at) work.asked_at = work.read_at;
  if (!placed.responses.empty()) work.told_at = work.read_at;
  return await_validation(world, task, placed.order);
}

}  // namespace csrq::issuance
