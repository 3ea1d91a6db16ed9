#include <algorithm>

#include "base/log.hpp"
#include "issuance/issuance.hpp"
#include "store/ledger.hpp"

namespace csrq::issuance {
namespace {

using namespace std::chrono_literals;

/// If the CA sets a limit but no time.
constexpr Duration default_limit = 10min;
constexpr Duration longest_limit = std::chrono::hours(24 * 7);

std::string lower(std::string_view text) {
  return to_lower_ascii(text);
}

/// What a rateLimited problem speaks of, as far as its sentence tells: limits that hit one set of names stop
/// no other row.
bool concerns_these_names_only(const Failure& failure) {
  const std::string detail = lower(failure.detail);
  const auto says = [&](std::string_view words) { return detail.find(words) != std::string::npos; };
  return says("too many certificates") || says("failed authorizations") || says("failed validations") ||
         says("exact set");
}

}  // namespace

/// What becomes of the row: ARCHITECTURE.md, "Failure classes".
Progress Issuance::settle(Task& task, Failure failure) {
  log::debug("a step failed", {{"request", store::number(task.claim.fence.request)},
                               {"code", failure.code},
                               {"detail", failure.detail}});
  if (failure.code == "accountDoesNotExist" && task.account && !task.registered_again) {
    task.registered_again = true;
    try {
      task.account = accounts_.register_again(*task.ca, *task.account);
      return {.kind = Progress::Kind::waiting, .wait = {}, .failure = std::nullopt};
    } catch (const Error& error) {
      failure = error.failure();
    }
  }
  if (failure.failure_class == FailureClass::limited) {
    const Duration wait =
        std::clamp<Duration>(failure.retry_after.value_or(default_limit), 1s, longest_limit);
    hold_others(task, failure, wait);
    return put_off(task, wait, std::move(failure));
  }
  const bool written = store::fail(database_, task.claim.fence, failure, config_.retry.schedule);
  return {.kind = written ? Progress::Kind::failed : Progress::Kind::dropped,
          .wait = {},
          .failure = std::move(failure)};
}

Progress Issuance::put_off(Task& task, Duration wait, Failure failure) {
  if (wait <= longest_leased_wait)
    return {.kind = Progress::Kind::waiting, .wait = wait, .failure = std::nullopt};
  const bool written = store::put_off(database_, task.claim.fence, wait, &failure);
  return {.kind = written ? Progress::Kind::put_off : Progress::Kind::dropped,
          .wait = wait,
          .failure = std::move(failure)};
}

/// Rows of the same account (or CA) would be told the same: they wait without asking.
void Issuance::hold_others(const Task& task, const Failure& failure, Duration wait) {
  if (!task.ca || (failure.code == "rateLimited" && concerns_these_names_only(failure))) return;
  const bool whole_ca = failure.code != "rateLimited" || !task.account;
  store::hold(database_, task.ca->config.directory,
              whole_ca ? store::HoldScope::ca : store::HoldScope::account,
              task.account ? task.account->id : store::AccountId{}, wait, failure);
}

}  // namespace csrq::issuance
