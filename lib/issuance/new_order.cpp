#include "issuance/new_order.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "acme/problem_type.hpp"
#include "base/log.hpp"
#include "config/renewal.hpp"
#include "issuance/choose_ca.hpp"
#include "issuance/lost_orders.hpp"
#include "issuance/orders.hpp"
#include "store/renewal_info.hpp"

namespace csrq::issuance {
namespace {

/// RFC 9773 §5 has a type for one of the reasons. For others, an issuer that they do not know or an account
/// that was registered anew, CAs have types that may say anything.
bool may_be_about_replaces(const Failure& failure) {
  constexpr std::array codes{acme::problem_type::already_replaced, acme::problem_type::malformed,
                             acme::problem_type::unauthorized};
  return std::ranges::find(codes, failure.code) != codes.end();
}

/// After so many failures in a row it is left out, in case it is what a CA stumbles over.
constexpr int most_failures_replacing = 3;

/// RFC 9773 §5: for a renewal under the account that got the certificate which is in the row.
std::string certificate_to_replace(World& world, const Task& task) {
  if (task.claim.kind != store::JobKind::renew || !world.renewal.ari) return {};
  if (task.claim.failures >= most_failures_replacing) return {};
  if (task.place.ca->ca.directory()->renewal_info.empty()) return {};
  return store::certificate_to_replace(world.database, task.claim.fence.request, task.place.account->id);
}

/// The CA does not take `replaces`: because of an order of this row that it holds open, which then serves, or
/// for good. Then the closed intent says so, and the next one goes without.
std::optional<acme::Order> order_in_place_of_refused(World& world, Task& task, acme::Session& session,
                                                     Failure refused) {
  if (refused.code == acme::problem_type::already_replaced) {
    const std::vector<std::string> former =
        store::former_orders(world.database, task.claim.fence.request, task.place.account->id);
    if (std::optional<acme::Order> found = first_resumable(world, task, session, former)) return found;
    if (std::optional<acme::Order> found = find_lost_order(world, task, session)) return found;
  }
  refused.code = to_string(ErrorCode::replaces_refused);
  log::info("the CA refused an order that replaces a certificate; ordering without saying so",
            {{"request", task.request()}, {"cause", refused.detail}});
  close_order(world, task, OrderStatus::lost, refused);
  return std::nullopt;
}

}  // namespace

std::optional<acme::Order> order_for_intent(World& world, Task& task, acme::Session& session) {
  if (!task.order.open->fresh || was_promoted(world))
    if (std::optional<acme::Order> found = find_lost_order(world, task, session)) return found;
  const std::string replaces = certificate_to_replace(world, task);
  const bool was_fresh = std::exchange(task.order.open->fresh, false);
  try {
    return acme::new_order(session, task.goal.csr->identifiers,
                           {.profile = wanted_profile(task), .replaces = replaces});
  } catch (const acme::Refusal& refusal) {
    if (!replaces.empty() && may_be_about_replaces(refusal.failure()))
      return order_in_place_of_refused(world, task, session, refusal.failure());
    const bool is_of_the_ca =
        refusal.problem().is_acme() || refusal.failure().failure_class == FailureClass::limited;
    if (is_of_the_ca && refusal.status() < 500)  // then there is certainly no order
      close_order(world, task, OrderStatus::lost, refusal.failure());
    throw;
  } catch (const Error& error) {
    if (error.failure().code == ErrorCode::paced) task.order.open->fresh = was_fresh;  // it was not sent
    throw;
  }
}

}  // namespace csrq::issuance
