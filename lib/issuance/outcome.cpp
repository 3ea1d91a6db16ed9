#include "issuance/outcome.hpp"

#include <algorithm>
#include <iterator>

#include "acme/used_up_limit.hpp"
#include "cas/rate_limits.hpp"
#include "issuance/order_failure.hpp"

namespace csrq::issuance {
namespace {

using namespace std::chrono_literals;

/// What a row waits at most because it was refused again and again.
constexpr Duration longest_growth = 10min;
/// Short waits of a busy CA that one row spends in the worker.
constexpr int most_turned_away = 5;
/// What a limit makes wait at least: a CA that says 0 has refused all the same.
constexpr Duration shortest_limit = 5s;
/// The same of a CA that is busy, or of csrq's own pace.
constexpr Duration shortest_pace = 1s;

bool is_of_names(LimitScope scope) {
  return scope == LimitScope::registered_domain || scope == LimitScope::identifier ||
         scope == LimitScope::name_set;
}

UsedUpLimit limit_of(const Failure& failure) {
  return failure.limit.value_or(UsedUpLimit{});
}

/// One answer, from something in front of the CA perhaps, does not stop everything for long.
Duration longest_limit(LimitScope scope) {
  if (is_of_names(scope)) return std::chrono::hours(24 * 7);
  return scope == LimitScope::ca ? std::chrono::hours(6) : std::chrono::hours(24);
}

/// With the names that a refusal of the CA is about.
Failure about_names(Failure failure, const std::vector<std::string>& names) {
  const bool may_be_about_some =
      failure.failure_class == FailureClass::validation || failure.failure_class == FailureClass::permanent;
  if (may_be_about_some && failure.failed_names.empty() && !failure.problem.empty())
    failure.failed_names = refused_names(failure, names);
  return failure;
}

/// Of the row's names those that the CA has paused: it says the same of a wildcard as of the name below it.
/// Where it does not say which, nobody else can be held back, and the row fails by itself.
std::vector<std::string> paused_names(const Failure& failure, const Facts& facts) {
  std::vector<std::string> paused;
  if (failure.code != ErrorCode::name_paused || !facts.has_account) return paused;
  const std::string subject = limit_of(failure).subject;
  std::ranges::copy_if(facts.names, std::back_inserter(paused),
                       [&](const std::string& name) { return name == subject || name == "*." + subject; });
  return paused;
}

/// Who would be told the same wait: nobody else where the answer does not tell.
std::optional<UsedUpLimit> hold_of(const Failure& failure, const Facts& facts) {
  if (!failure.request) return std::nullopt;
  UsedUpLimit limit = limit_of(failure);
  if (limit.scope == LimitScope::account && !facts.has_account) limit.scope = LimitScope::address;
  if (is_of_names(limit.scope) && facts.names.empty()) return std::nullopt;
  // Everybody's rows for a domain would wait, and which one is meant is not known: whoever asks for a
  // stranger's domain beside its own could hold it up.
  if (limit.scope == LimitScope::registered_domain && limit.subject.empty() &&
      cas::limited_domains(facts.names).size() > 1)
    return std::nullopt;
  return limit;
}

/// No request was sent. A hold that is about to end is waited for without the slot, which others need.
Later behind_hold(std::string_view code, Duration wait) {
  if (code != ErrorCode::on_hold) return Later::put_off(wait);
  return {.wait = wait, .longest_kept = shortest_limit, .longest_untold = {}, .needs_slot = false};
}

Outcome out_of_reach(Failure failure, Duration wait) {
  return {.failure = std::move(failure), .later = Later{.wait = wait}};
}

/// A row that is refused again and again comes back later each time, whatever the CA says: some say 0 for
/// ever.
Outcome limited(Failure failure, const Facts& facts) {
  const std::optional<Duration> told = failure.retry_after;
  if (failure.code == ErrorCode::paced)
    return {.failure = std::move(failure),
            .later = Later{.wait = std::max(told.value_or(shortest_pace), shortest_pace)}};
  if (!failure.request) {
    const Later later = behind_hold(failure.code, told.value_or(shortest_limit));
    return {.failure = std::move(failure), .later = later};
  }
  const bool is_busy = failure.request->status == 503;
  const Duration least = is_busy ? shortest_pace : shortest_limit;
  if (told) failure.retry_after = std::min(*told, longest_limit(limit_of(failure).scope));
  Later later = Later::put_off(std::max(failure.retry_after.value_or(least), least));
  later.shortest_put_off = std::min<Duration>(facts.attempt * shortest_limit, longest_growth);
  // The pacer sees to it that a busy CA is asked less often.
  const bool is_turned_away = is_busy && facts.turned_away < most_turned_away;
  if (is_turned_away) later.longest_kept = shortest_limit;
  const std::optional<UsedUpLimit> hold = hold_of(failure, facts);
  return {.failure = std::move(failure), .is_turned_away = is_turned_away, .hold = hold, .later = later};
}

/// The CA has paused a name of the row until a person asks it to go on: all rows with it wait, behind one
/// alarm, and one of them asks again now and then.
Outcome paused(Failure failure, const Facts& facts) {
  const Duration wait = std::max(failure.retry_after.value_or(shortest_limit), shortest_limit);
  const std::optional<UsedUpLimit> hold = hold_of(failure, facts);
  return {.failure = std::move(failure), .raises_alarm = true, .hold = hold, .later = Later::put_off(wait)};
}

/// An answer that names a far day does not stop a row for longer than its failures do.
Outcome counted(Failure failure, const std::vector<Duration>& schedule) {
  if (failure.retry_after && !schedule.empty())
    failure.retry_after = std::min(*failure.retry_after, schedule.back());
  const bool raises_alarm = failure.failure_class == FailureClass::administrative;
  return {.failure = std::move(failure), .raises_alarm = raises_alarm};
}

}  // namespace

Outcome outcome_of(Failure failure, const Facts& facts) {
  failure = about_names(std::move(failure), facts.names);
  // What one CA refuses for good another may issue: the row's own CA is asked again.
  if (facts.is_at_fallback && failure.failure_class == FailureClass::permanent)
    failure.failure_class = FailureClass::transient;
  if (facts.outage) return out_of_reach(std::move(failure), *facts.outage);
  if (failure.failure_class == FailureClass::limited) return limited(std::move(failure), facts);
  if (std::vector<std::string> names = paused_names(failure, facts); !names.empty()) {
    failure.failed_names = std::move(names);
    return paused(std::move(failure), facts);
  }
  return counted(std::move(failure), facts.schedule);
}

Outcome outcome_of(const store::NotYet& not_yet) {
  return {.failure = {.failure_class = not_yet.code == ErrorCode::name_paused ? FailureClass::administrative
                                                                              : FailureClass::limited,
                      .code = not_yet.code,
                      .detail = not_yet.detail,
                      .problem = not_yet.document,
                      .failed_names = not_yet.failed_names},
          .later = behind_hold(not_yet.code, not_yet.wait)};
}

}  // namespace csrq::issuance
