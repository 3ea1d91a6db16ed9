#include "issuance/prove.hpp"

#include <utility>

#include "issuance/authorizations.hpp"
#include "issuance/await_ca.hpp"
#include "issuance/order_failure.hpp"
#include "issuance/wait.hpp"

namespace csrq::issuance {
namespace {

/// True: there was something to tell.
bool tell(acme::Session& session, Answers& answers) {
  bool was_told = false;
  for (auto& [proof, given] : answers)
    for (proofs::Answer& answer : given) {
      if (answer.is_told) continue;
      acme::respond(session, answer.challenge);
      was_told = answer.is_told = true;
    }
  return was_told;
}

}  // namespace

Progress prove(World& world, Task& task, acme::Session& session, const acme::Order& order) {
  OrderAtCa& mine = task.order;
  if (mine.work.read_at && CaWork::since(*mine.work.read_at) < between_readings)
    return await_validation(world, task, order);
  const std::vector<acme::Authorization> authorizations = read_authorizations(world, task, session, order);
  mine.work.noted = open_failure(authorizations);
  Answers answers = answers_to(authorizations, task.goal.proofs, task.prover(), mine.work);
  keep(answers, std::exchange(mine.answers, {}));
  mine.answers = std::move(answers);
  mine.untold = order;
  return tell_ca(world, task, session);
}

Progress tell_ca(World& world, Task& task, acme::Session& session) {
  OrderAtCa& mine = task.order;
  const acme::Order order = std::exchange(mine.untold, std::nullopt).value();
  if (const std::optional<proofs::NotYet> not_yet = not_placed_yet(mine.answers, task.claim.customer)) {
    mine.untold = order;
    return wait(world, task, {.wait = not_yet->wait},
                {.failure_class = FailureClass::limited, .code = not_yet->code, .detail = not_yet->detail});
  }
  const bool was_told = tell(session, mine.answers);
  mine.work.read_at = CaWork::Clock::now();
  if (!mine.work.asked_at) mine.work.asked_at = mine.work.read_at;
  if (was_told) mine.work.told_at = mine.work.read_at;
  return await_validation(world, task, order);
}

}  // namespace csrq::issuance
