#include "issuance/step.hpp"

#include <utility>

#include "base/log.hpp"
#include "config/retry.hpp"
#include "issuance/account_trouble.hpp"
#include "issuance/authorizations.hpp"
#include "issuance/await_ca.hpp"
#include "issuance/before_order.hpp"
#include "issuance/delivery.hpp"
#include "issuance/failed_step.hpp"
#include "issuance/orders.hpp"
#include "issuance/place.hpp"
#include "issuance/prove.hpp"
#include "issuance/reach.hpp"
#include "issuance/revoke.hpp"

namespace csrq::issuance {
namespace {

/// Clocks differ: an order counts as expired this long after its time.
constexpr Duration expiry_tolerance = std::chrono::minutes(1);
/// Times that a CA takes the request to finalize an order from one task: once more than should be needed.
constexpr int most_finalized = 2;

bool is_over(const acme::Order& order, Time now) {
  if (order.status == OrderStatus::valid) return false;
  return order.status == OrderStatus::invalid || (order.expires && *order.expires + expiry_tolerance < now);
}

/// An order that only goes round between finalize and `ready` is the CA's failure: the schedule makes the
/// waits grow, which each finalize would begin anew.
[[noreturn]] void fail_ignored(const acme::Order& order) {
  fail(FailureClass::transient, ErrorCode::finalize_ignored,
       "the CA took the request to finalize the order " + order.url + ", and the order is `" +
           std::string(to_string(order.status)) + "` all the same");
}

/// The intent is committed first, since this cannot be undone.
acme::Order finalize(World& world, Task& task, acme::Session& session, const acme::Order& ready) {
  OrderAtCa& mine = task.order;
  if (mine.finalized == most_finalized) fail_ignored(ready);
  store::begin_finalize(world.database, task.claim.fence, mine.open->id);
  if (mine.stage.phase != Stage::Phase::issuance) mine.work = {.asked_at = CaWork::Clock::now()};
  mine.work.asks_anew = false;  // this is what csrq.retry() wants
  acme::Order order = acme::finalize(session, ready, task.goal.csr->der);
  ++mine.finalized;
  if (order.status == OrderStatus::ready || order.status == OrderStatus::pending) fail_ignored(order);
  return order;
}

/// RFC 8555 §7.4 from first line to last.
Progress issue(World& world, Task& task) {
  if (std::optional<Progress> end = before_order(world, task)) return *end;
  if (std::optional<Progress> out = wait_for_ca(world, task)) return *out;
  if (std::optional<Progress> wait = take_place(world, task)) return *wait;
  if (std::optional<Progress> wait = open_order(world, task)) return *wait;

  acme::Session session{.ca = task.place.ca->ca, .signer = task.place.account->signer};
  if (task.order.untold) return tell_ca(world, task, session);
  std::optional<acme::Order> order = current_order(world, task, session);
  if (!order) return without_order(world, task);

  note_answer(*task.place.ca);
  learn_pace(task, *order);
  if (is_over(*order, world.clock.now())) give_up_order(world, task, session, *order);
  if (order->status == OrderStatus::pending) return prove(world, task, session, *order);
  if (order->status == OrderStatus::ready) order = finalize(world, task, session, *order);
  if (order->status == OrderStatus::processing) return await_issuance(world, task, *order);
  if (order->status == OrderStatus::valid) return deliver(world, task, session, *order);
  give_up_order(world, task, session, *order);
}

/// Without the severity, the hint and the context that PostgreSQL writes around it: those are the log's.
std::string primary_message(std::string_view message) {
  message = message.substr(0, message.find('\n'));
  constexpr std::string_view severity = "ERROR:  ";
  if (message.starts_with(severity)) message.remove_prefix(severity.size());
  return std::string(message);
}

Failure unforeseen(std::string detail) {
  return {.failure_class = FailureClass::transient,
          .code = to_string(ErrorCode::internal),
          .detail = std::move(detail)};
}

/// Whatever the step has to say of the row is said, be it why it failed.
Progress step(World& world, Task& task) {
  try {
    return task.claim.kind == store::JobKind::revoke ? revoke(world, task) : issue(world, task);
  } catch (const store::LeaseLost&) {
    return Progress::dropped();
  } catch (const Unreachable&) {
    throw;
  } catch (const accounts::AccountRefused& refused) {
    return wait_for_account(world, task, refused);
  } catch (const Error& error) {
    return end_failed_step(world, task, error.failure());
  } catch (const std::exception& error) {
    log::error("a step failed in an unforeseen way", {{"request", task.request()}, {"cause", error.what()}});
    return end_failed_step(world, task, unforeseen(primary_message(error.what())));
  }
}

/// The database refuses the words that the step wanted to write. It takes csrq's own; so the CA is not asked
/// the same again at once.
Progress record_plainly(World& world, const Task& task, std::string_view cause) {
  Failure failure =
      unforeseen("what became of the step could not be written down: " + primary_message(cause));
  log::error("what became of a step could not be written down",
             {{"request", task.request()}, {"cause", cause}});
  const bool written = store::record_failure(world.database, task.claim.fence, failure, world.retry.schedule);
  return written ? Progress::failed(std::move(failure)) : Progress::dropped();
}

}  // namespace

Progress advance(World& world, Task& task) {
  try {
    return step(world, task);
  } catch (const Unreachable&) {
    throw;
  } catch (const std::exception& error) {
    return record_plainly(world, task, error.what());
  }
}

}  // namespace csrq::issuance
