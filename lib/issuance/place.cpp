#include "issuance/place.hpp"

#include "issuance/wait.hpp"

namespace csrq::issuance {
namespace {

using namespace std::chrono_literals;

/// For what another thread of this process is about to finish.
constexpr Duration short_wait = 100ms;

/// A row that finds its CA busy for long makes room for those of other CAs.
Progress wait_for_slot(World& world, Task& task) {
  constexpr int most_looks = 20;
  if (++task.patience.looks_for_slot <= most_looks) return Progress::waiting(short_wait);
  return wait(world, task, Later::put_off(5s),
              {.failure_class = FailureClass::limited,
               .code = to_string(ErrorCode::ca_full),
               .detail = "as many orders are under way at the CA " + task.place.ca->name() +
                         " as this worker may have there (orders_in_flight)"});
}

}  // namespace

std::optional<Progress> take_place(World& world, Task& task) {
  Place& place = task.place;
  if (!place.slot) place.slot = place.ca->try_take_slot();
  if (!place.slot) return wait_for_slot(world, task);
  if (!place.account)
    place.account = world.accounts.find_or_register(*place.ca, task.claim.customer, task.goal.csr->names);
  if (!place.account) return Progress::waiting(short_wait);
  return std::nullopt;
}

}  // namespace csrq::issuance
