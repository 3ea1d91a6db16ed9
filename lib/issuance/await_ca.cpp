#include "issuance/await_ca.hpp"

#include <algorithm>

#include "issuance/alarms.hpp"
#include "issuance/orders.hpp"
#include "issuance/wait.hpp"

namespace csrq::issuance {
namespace {

using namespace std::chrono_literals;

/// A CA that has not finished with an order by then has lost it (Boulder calls such orders `processing` for
/// ever), unless it has asked to wait for longer.
constexpr Duration longest_processing = 1h;

void enter(Task& task, Stage::Phase phase) {
  if (task.order.stage.phase != phase) task.order.stage = {.phase = phase};
  if (!task.order.work.asked_at) task.order.work.asked_at = CaWork::Clock::now();
}

/// A CA may ask to wait longer than csrq would by itself, not to be asked without end.
Duration until_next_look(const CaWork& work, const acme::Order& order, Duration first_wait) {
  const Duration patience = cas::next_wait(first_wait, work.lasting());
  const Duration wait = std::clamp<Duration>(order.retry_after.value_or(patience), patience, 24h);
  // However long the CA asks to wait, or has been at work on the order before: what has become of an answer
  // is seen soon.
  const std::optional<Duration> told = work.told_ago();
  if (!told || *told >= between_readings) return wait;
  const Duration soon = cas::next_wait(first_wait, *told);
  return std::min(wait, order.retry_after ? std::max(soon, between_readings - *told) : soon);
}

Progress look_again(World& world, Task& task, const acme::Order& order, const cas::PollPace& pace) {
  CaWork& work = task.order.work;
  work.asks_anew = false;
  const Duration until = until_next_look(work, order, pace.first_wait(task.claim.customer));
  ++task.order.stage.looks;
  if (work.noted) return wait(world, task, {.wait = until, .longest_untold = {}}, *work.noted);
  return wait(world, task, {.wait = until},
              {.failure_class = FailureClass::limited,
               .code = to_string(ErrorCode::ca_busy),
               .detail = "the CA has not finished with the order " + order.url + " yet"});
}

/// In place of one that the CA does not finish with: a failure of the CA, unless it was asked for. The CA may
/// make a certificate of the old one all the same, which is the price.
Progress order_another(World& world, Task& task, const acme::Order& order) {
  const CaWork& work = task.order.work;
  const Failure why{.failure_class = FailureClass::transient,
                    .code = to_string(ErrorCode::order_stuck),
                    .detail = "the CA has been at work on the order " + order.url + " for " +
                              to_text(std::chrono::round<std::chrono::seconds>(work.lasting())) +
                              " and has not finished with it: another one is ordered"};
  const bool was_asked_for = work.asks_anew;
  close_order(world, task, OrderStatus::processing, why);
  if (was_asked_for) return Progress::waiting({});
  raise_alarm(world.database, world.accounts, task, why);
  throw Error(why);
}

}  // namespace

Progress await_validation(World& world, Task& task, const acme::Order& order) {
  enter(task, Stage::Phase::validation);
  return look_again(world, task, order, task.place.ca->validation_pace);
}

Progress await_issuance(World& world, Task& task, const acme::Order& order) {
  enter(task, Stage::Phase::issuance);
  const CaWork& work = task.order.work;
  if (work.asks_anew || work.lasting() >= std::max(longest_processing, order.retry_after.value_or(0s)))
    return order_another(world, task, order);
  return look_again(world, task, order, task.place.ca->issuance_pace);
}

void learn_pace(const Task& task, const acme::Order& order) {
  if (task.order.stage.looks != 1 || task.order.open->asked_ago) return;
  cas::PooledCa& ca = *task.place.ca;
  if (task.order.stage.phase == Stage::Phase::validation)
    ca.validation_pace.learn(task.claim.customer, order.status != OrderStatus::pending);
  if (task.order.stage.phase == Stage::Phase::issuance)
    ca.issuance_pace.learn(task.claim.customer, order.status != OrderStatus::processing);
}

}  // namespace csrq::issuance
