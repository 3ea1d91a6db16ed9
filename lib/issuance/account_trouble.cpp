#include "issuance/account_trouble.hpp"

#include <functional>

#include "acme/problem.hpp"
#include "acme/problem_type.hpp"
#include "issuance/alarms.hpp"
#include "issuance/later.hpp"
#include "renewals/renewal_time.hpp"

namespace csrq::issuance {
namespace {

/// Those that wait do not all come back at once.
Duration spread(Duration wait) {
  return wait + std::chrono::duration_cast<Duration>(renewals::random_share() * 0.03 * wait);
}

/// The failure becomes what the CA says when it is asked about the account.
std::optional<Progress> ask_about_account(World& world, Task& task, Failure& failure,
                                          const std::function<void()>& ask) {
  try {
    ask();
    return Progress::waiting({});
  } catch (const accounts::AccountRefused& refused) {
    return wait_for_account(world, task, refused);
  } catch (const Error& error) {
    failure = error.failure();
    return std::nullopt;
  }
}

}  // namespace

Progress wait_for_account(World& world, Task& task, const accounts::AccountRefused& refused) {
  Failure why = refused.failure();
  raise_account_alarm(world.database, refused.owner(), why);
  // A fallback CA that makes no account is no reason to keep the row from its own.
  const Duration wait =
      task.place.is_fallback ? longest_leased_wait : spread(why.retry_after.value_or(longest_leased_wait));
  why.refused_account = store::number(refused.account());
  if (!store::put_off(world.database, task.claim.fence, wait, &why)) return Progress::dropped();
  Progress progress = Progress::failed(std::move(why));
  progress.wait = wait;
  return progress;
}

std::optional<Progress> look_after_account(World& world, Task& task, Failure& failure) {
  Place& place = task.place;
  if (!place.account) return std::nullopt;
  if (failure.code == acme::problem_type::account_does_not_exist &&
      !std::exchange(place.is_registered_again, true)) {
    const auto register_again = [&] {
      place.account = world.accounts.register_again(*place.ca, *place.account);
    };
    if (std::optional<Progress> end = ask_about_account(world, task, failure, register_again)) return end;
  }
  if (failure.code != ErrorCode::account_deactivated) return std::nullopt;
  return ask_about_account(world, task, failure,
                           [&] { world.accounts.give_up(*place.ca, *place.account, failure); });
}

}  // namespace csrq::issuance
