#include "issuance/orders.hpp"

#include <utility>

#include "cas/rate_limits.hpp"
#include "config/accounts.hpp"
#include "issuance/failed_step.hpp"
#include "issuance/later.hpp"
#include "issuance/lost_orders.hpp"
#include "issuance/new_order.hpp"

namespace csrq::issuance {
namespace {

using namespace std::chrono_literals;

/// newOrder was sent, or may have been, and where the order is cannot be found out.
bool has_lost_answer(const Task& task) {
  const OrderAtCa& order = task.order;
  return order.open && !order.open->fresh && order.open->url.empty() && !order.unrecorded &&
         task.place.account->orders_url.empty();
}

void give_up_intent(World& world, Task& task) {
  close_order(
      world, task, OrderStatus::lost,
      {.failure_class = FailureClass::transient,
       .code = to_string(ErrorCode::answer_lost),
       .detail = "newOrder was sent, its answer never came, and the CA lists no orders: if it made one, "
                 "that expires by itself"});
}

/// A Progress if the CA asked to wait.
std::optional<Progress> ask_ledger(World& world, Task& task) {
  const std::vector<std::string>& names = task.goal.csr->names;
  Place& place = task.place;
  store::OpenOrderResult result = store::open_order(
      world.database, task.claim.fence, place.account->id, names, cas::limited_domains(names),
      {.most_in_flight = world.account_rules.in_flight, .is_limited = place.ca->is_limited});
  if (result.not_yet) return carry_out(world, task, outcome_of(*result.not_yet));
  const store::OpenOrder& open = task.order.open.emplace(std::move(result.order.value()));
  if (open.asked_ago) task.order.work.asked_at = CaWork::Clock::now() - *open.asked_ago;
  task.order.work.asks_anew = open.asks_anew;
  if (open.is_charged) place.ca->is_limited = true;
  return std::nullopt;
}

/// A page that is no ACME answer ends no order; one that has run out the CA may have forgotten without a word
/// of its own.
bool is_lost(World& world, const store::OpenOrder& order, const Error& error) {
  if (error.failure().code == ErrorCode::order_lost) return true;
  const auto* refusal = dynamic_cast<const acme::Refusal*>(&error);
  return refusal && (refusal->status() == 404 || refusal->status() == 410) &&
         store::has_run_out(world.database, order.id);
}

acme::Order look_at_order(World& world, Task& task, acme::Session& session) {
  try {
    return acme::get_order(session, task.order.open->url);
  } catch (const Error& error) {
    if (is_lost(world, *task.order.open, error)) close_order(world, task, OrderStatus::lost, error.failure());
    throw;
  }
}

/// False: the CA handed out another row's order; this one is closed.
bool record(World& world, const Task& task, const acme::Order& order) {
  return store::record_order(world.database, task.claim.fence,
                             {.id = task.order.open->id,
                              .status = order.status,
                              .url = order.url,
                              .finalize_url = order.finalize,
                              .certificate_url = order.certificate,
                              .expires = order.expires,
                              .authorizations = order.authorizations});
}

/// It is called when that one is done. If it is done already, the CA should make another order.
Progress wait_for_order_of_other(World& world, Task& task) {
  Failure why{.failure_class = FailureClass::limited,
              .code = to_string(ErrorCode::order_taken),
              .detail =
                  "the CA hands out the order that another row for the same names is working on; "
                  "waiting for it to finish"};
  const std::string url = task.order.unrecorded->url;
  const store::WaitForOther other = store::wait_for_order(world.database, task.claim.fence, url, why);
  task.order = {};
  if (other == store::WaitForOther::waits) return Progress::put_off(2 * longest_leased_wait, std::move(why));
  if (!std::exchange(task.patience.was_handed_used_order, true)) return Progress::waiting(1s);
  fail(FailureClass::transient, ErrorCode::order_used,
       "the CA goes on handing out the order " + url + ", with which another row has finished");
}

}  // namespace

std::optional<Progress> open_order(World& world, Task& task) {
  if (has_lost_answer(task)) give_up_intent(world, task);
  while (!task.order.open) {
    if (std::optional<Progress> wait = ask_ledger(world, task)) return wait;
    if (has_lost_answer(task)) give_up_intent(world, task);
  }
  return std::nullopt;
}

std::optional<acme::Order> current_order(World& world, Task& task, acme::Session& session) {
  OrderAtCa& mine = task.order;
  if (mine.open->is_adopted() && !keeps_adopted_order(world, task, session)) return std::nullopt;
  if (!mine.open->url.empty()) return look_at_order(world, task, session);
  if (!mine.unrecorded) mine.unrecorded = order_for_intent(world, task, session);
  if (!mine.unrecorded || !record(world, task, *mine.unrecorded)) return std::nullopt;
  mine.open->url = mine.unrecorded->url;
  return std::exchange(mine.unrecorded, std::nullopt);
}

Progress without_order(World& world, Task& task) {
  return task.order.open ? wait_for_order_of_other(world, task) : Progress::waiting({});
}

void close_order(World& world, Task& task, OrderStatus status, const Failure& why) {
  store::close_order(world.database, task.claim.fence, task.order.open->id, status, why);
  take_away(task.order.answers);
  task.order = {};
}

}  // namespace csrq::issuance
