#include "issuance/lost_orders.hpp"

#include <algorithm>
#include <array>
#include <ranges>
#include <tuple>

#include "acme/certificate.hpp"
#include "base/log.hpp"
#include "issuance/orders.hpp"
#include "store/renewal_info.hpp"

namespace csrq::issuance {
namespace {

/// Of the orders that nobody has written down: more than these are not this row's doing.
constexpr std::size_t most_looked_at = 500;

/// A page that is no ACME answer may be somebody else's, for a while: after so many failures in a row it
/// counts as the CA's, since some CAs have no lists and say so with such a page.
constexpr int most_failures_by_pages = 2;

/// The order itself is of no use: not a failure of this row.
bool is_useless(const Failure& failure) {
  return failure.code == ErrorCode::order_lost || failure.code == ErrorCode::foreign_url;
}

/// The CA has no such thing, or does not show it. Anything else (a refused nonce, say) is no word on it.
bool is_final(const Error& error, const Task& task) {
  const bool may_be_a_page = task.claim.failures < most_failures_by_pages;
  const auto* refusal = dynamic_cast<const acme::Refusal*>(&error);
  if (!refusal)
    return is_useless(error.failure()) || (error.failure().code == ErrorCode::bad_answer && !may_be_a_page);
  constexpr std::array statuses{401, 403, 404, 405, 410, 501};
  return std::ranges::find(statuses, refusal->status()) != statuses.end() &&
         refusal->failure().failure_class != FailureClass::limited &&
         (refusal->problem().is_acme() || !may_be_a_page);
}

/// Empty if the CA has no list that can be read.
std::vector<std::string> listed_orders(const Task& task, acme::Session& session) {
  try {
    return acme::list_orders(session, task.place.account->orders_url);
  } catch (const Error& error) {
    if (!is_final(error, task)) throw;
  }
  return {};
}

bool may_be_resumed(const acme::Order& order) {
  return order.status == OrderStatus::pending || order.status == OrderStatus::ready;
}

/// For so long after a promotion any order may have been made before that the database has lost.
constexpr Duration lost_orders_turn_up = std::chrono::hours(1);

/// Its certificate, or one that the CA is making, may be for another key: of a row with the same names.
bool is_for_key_of(const AcceptedCsr& csr, acme::Session& session, const acme::Order& order, Time now) {
  if (order.status == OrderStatus::processing)
    fail(FailureClass::limited, ErrorCode::ca_busy,
         "the CA has not finished with the order " + order.url +
             " yet, which may have been made for this row before the database lost it");
  if (order.status != OrderStatus::valid) return false;
  try {
    std::ignore = acme::download_chain(session, order.certificate,
                                       {.spki_sha256 = csr.spki_sha256, .names = csr.names, .at = now}, {});
    return true;
  } catch (const Error& error) {
    if (error.failure().code == ErrorCode::bad_chain) return false;
    throw;
  }
}

}  // namespace

bool was_promoted(const World& world) {
  const std::optional<Duration> since = world.database.since_promotion();
  return since && *since < lost_orders_turn_up;
}

std::optional<acme::Order> find_lost_order(World& world, const Task& task, acme::Session& session) {
  std::vector<std::string> unknown = store::unknown_orders(world.database, listed_orders(task, session));
  std::ranges::reverse(unknown);  // CAs list the newest last
  return first_resumable(world, task, session, unknown);
}

std::optional<acme::Order> first_resumable(World& world, const Task& task, acme::Session& session,
                                           const std::vector<std::string>& urls) {
  const AcceptedCsr& csr = *task.goal.csr;
  for (const std::string& url : urls | std::views::take(most_looked_at)) {
    try {
      acme::Order order = acme::get_order(session, url);
      if (!acme::is_for(order, csr.identifiers)) continue;
      if (!may_be_resumed(order) &&
          !(was_promoted(world) && is_for_key_of(csr, session, order, world.clock.now())))
        continue;
      log::info("an order that was lost sight of is found again",
                {{"request", task.request()}, {"order", url}});
      return order;
    } catch (const Error& error) {
      if (!is_final(error, task)) throw;
    }
  }
  return std::nullopt;
}

bool keeps_adopted_order(World& world, Task& task, acme::Session& session) {
  OrderStatus found = OrderStatus::lost;
  Failure why{.failure_class = FailureClass::transient,
              .code = to_string(ErrorCode::order_lost),
              .detail = "the order that a cancelled row had left is of no use any more"};
  try {
    const acme::Order order = acme::get_order(session, task.order.open->url);
    task.order.open->fresh = false;
    if (may_be_resumed(order)) return true;
    found = OrderStatus::invalid;
  } catch (const Error& error) {
    if (!is_useless(error.failure())) throw;
    why = error.failure();
  }
  close_order(world, task, found, why);
  return false;
}

}  // namespace csrq::issuance
