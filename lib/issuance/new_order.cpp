#include <algorithm>
#include <array>
#include <ranges>
#include <tuple>
#include <utility>

#include "acme/certificate.hpp"
#include "acme/order.hpp"
#include "acme/problem_type.hpp"
#include "base/log.hpp"
#include "config/renewal.hpp"
#include "issuance/issuance.hpp"
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
    return acme::list_orders(session, task.account->orders_url);
  } catch (const Error& error) {
    if (!is_final(error, task)) throw;
  }
  return {};
}

/// RFC 9773 §5 has a type for one of the reasons. For others, an issuer that they do not know or an account
/// that was registered anew, CAs have types that may say anything.
bool may_be_about_replaces(const Failure& failure) {
  constexpr std::array codes{acme::problem_type::already_replaced, acme::problem_type::malformed,
                             acme::problem_type::unauthorized};
  return std::ranges::find(codes, failure.code) != codes.end();
}

/// After so many failures in a row it is left out, in case it is what a CA stumbles over.
constexpr int most_failures_replacing = 3;

bool may_be_resumed(const acme::Order& order) {
  return order.status == OrderStatus::pending || order.status == OrderStatus::ready;
}

/// For so long after a promotion any order may have been made before that the database has lost.
constexpr Duration lost_orders_turn_up = std::chrono::hours(1);

/// Its certificate, or one that the CA is making, may be for another key: of a row with the same names.
bool is_for_key_of(const Task& task, acme::Session& session, const acme::Order& order, Time now) {
  if (order.status == OrderStatus::processing)
    fail(FailureClass::limited, ErrorCode::ca_busy,
         "the CA has not finished with the order " + order.url +
             " yet, which may have been made for this row before the database lost it");
  if (order.status != OrderStatus::valid) return false;
  try {
    std::ignore =
        acme::download_chain(session, order.certificate,
                             {.spki_sha256 = task.csr->spki_sha256, .names = task.csr->names, .at = now}, {});
    return true;
  } catch (const Error& error) {
    if (error.failure().code == ErrorCode::bad_chain) return false;
    throw;
  }
}

}  // namespace

/// newOrder (RFC 8555 §7.4), unless one that was sent for this intent before can be found again. Nothing: the
/// intent is closed, and what comes next opens another.
std::optional<acme::Order> Issuance::order_for_intent(Task& task, acme::Session& session) {
  if (!task.order->fresh || was_promoted())
    if (std::optional<acme::Order> found = find_lost_order(task, session)) return found;
  const std::string replaces = certificate_to_replace(task);
  const bool was_fresh = std::exchange(task.order->fresh, false);
  try {
    return acme::new_order(session, task.csr->identifiers,
                           {.profile = wanted_profile(task), .replaces = replaces});
  } catch (const acme::Refusal& refusal) {
    if (!replaces.empty() && may_be_about_replaces(refusal.failure()))
      return order_in_place_of_refused(task, session, refusal.failure());
    const bool is_of_the_ca =
        refusal.problem().is_acme() || refusal.failure().failure_class == FailureClass::limited;
    if (is_of_the_ca && refusal.status() < 500) {  // then there is certainly no order
      store::close_order(database_, task.claim.fence, task.order->id, OrderStatus::lost, refusal.failure());
      task.forget_order();
    }
    throw;
  } catch (const Error& error) {
    if (error.failure().code == ErrorCode::paced) task.order->fresh = was_fresh;  // it was not sent
    throw;
  }
}

/// RFC 9773 §5: for a renewal under the account that got the certificate which is in the row.
std::string Issuance::certificate_to_replace(const Task& task) {
  if (task.claim.kind != store::JobKind::renew || !renewal_.ari) return {};
  if (task.claim.failures >= most_failures_replacing) return {};
  if (task.ca->ca.directory()->renewal_info.empty()) return {};
  return store::certificate_to_replace(database_, task.claim.fence.request, task.account->id);
}

/// The CA does not take `replaces`: because of an order of this row that it holds open, which then serves, or
/// for good. Then the closed intent says so, and the next one goes without.
std::optional<acme::Order> Issuance::order_in_place_of_refused(Task& task, acme::Session& session,
                                                               Failure refused) {
  if (refused.code == acme::problem_type::already_replaced) {
    const std::vector<std::string> former =
        store::former_orders(database_, task.claim.fence.request, task.account->id);
    if (std::optional<acme::Order> found = first_resumable(task, session, former)) return found;
    if (std::optional<acme::Order> found = find_lost_order(task, session)) return found;
  }
  refused.code = to_string(ErrorCode::replaces_refused);
  log::info("the CA refused an order that replaces a certificate; ordering without saying so",
            {{"request", store::number(task.claim.fence.request)}, {"cause", refused.detail}});
  store::close_order(database_, task.claim.fence, task.order->id, OrderStatus::lost, refused);
  task.forget_order();
  return std::nullopt;
}

bool Issuance::was_promoted() const {
  const std::optional<Duration> since = database_.since_promotion();
  return since && *since < lost_orders_turn_up;
}

/// The answer to an earlier newOrder was lost; the CA lists the account's orders, so it is the one for the
/// same names that the ledger does not have.
std::optional<acme::Order> Issuance::find_lost_order(const Task& task, acme::Session& session) {
  std::vector<std::string> unknown = store::unknown_orders(database_, listed_orders(task, session));
  std::ranges::reverse(unknown);  // CAs list the newest last
  return first_resumable(task, session, unknown);
}

/// Of these orders, the first that is for the row's names and can be taken further.
std::optional<acme::Order> Issuance::first_resumable(const Task& task, acme::Session& session,
                                                     const std::vector<std::string>& urls) {
  for (const std::string& url : urls | std::views::take(most_looked_at)) {
    try {
      acme::Order order = acme::get_order(session, url);
      if (!acme::is_for(order, task.csr->identifiers)) continue;
      if (!may_be_resumed(order) && !(was_promoted() && is_for_key_of(task, session, order, clock_.now())))
        continue;
      log::info("an order that was lost sight of is found again",
                {{"request", store::number(task.claim.fence.request)}, {"order", url}});
      return order;
    } catch (const Error& error) {
      if (!is_final(error, task)) throw;
    }
  }
  return std::nullopt;
}

void Issuance::give_up_intent(Task& task) {
  store::close_order(
      database_, task.claim.fence, task.order->id, OrderStatus::lost,
      {.failure_class = FailureClass::transient,
       .code = to_string(ErrorCode::answer_lost),
       .detail = "newOrder was sent, its answer never came, and the CA lists no orders: if it made one, "
                 "that expires by itself",
       .problem = {},
       .retry_after = {}});
  task.forget_order();
}

/// Nobody has looked at it since its row was cancelled. One that is of no use any more is closed, and no
/// failure of this row: what comes next opens another.
bool Issuance::keeps_adopted_order(Task& task, acme::Session& session) {
  OrderStatus found = OrderStatus::lost;
  Failure why{.failure_class = FailureClass::transient,
              .code = to_string(ErrorCode::order_lost),
              .detail = "the order that a cancelled row had left is of no use any more",
              .problem = {},
              .retry_after = {}};
  try {
    const acme::Order order = acme::get_order(session, task.order->url);
    task.order->fresh = false;
    if (may_be_resumed(order)) return true;
    found = OrderStatus::invalid;
  } catch (const Error& error) {
    if (!is_useless(error.failure())) throw;
    why = error.failure();
  }
  store::close_order(database_, task.claim.fence, task.order->id, found, why);
  task.forget_order();
  return false;
}

}  // namespace csrq::issuance
