#include <algorithm>
#include <iterator>

#include "acme/problem.hpp"
#include "acme/used_up_limit.hpp"
#include "base/log.hpp"
#include "config/retry.hpp"
#include "issuance/alarms.hpp"
#include "issuance/issuance.hpp"
#include "issuance/rate_limits.hpp"
#include "store/ledger.hpp"

namespace csrq::issuance {
namespace {

using namespace std::chrono_literals;

/// What a row waits at most because it was refused again and again.
constexpr Duration longest_growth = 10min;
/// Short waits of a busy CA that one row spends in the worker.
constexpr int most_turned_away = 5;
/// What a limit makes wait at least: a CA that says 0 has refused all the same.
constexpr Duration shortest_limit = 5s;
/// A wait of a busy CA that needs no word in the row.
constexpr Duration a_moment = 10s;
/// Requests of one row in a row without an answer, while others get theirs: then it counts as the row's
/// failure.
constexpr int most_unanswered = 3;

bool is_of_names(LimitScope scope) {
  return scope == LimitScope::registered_domain || scope == LimitScope::identifier ||
         scope == LimitScope::name_set;
}

/// One answer, from something in front of the CA perhaps, does not stop everything for long.
Duration longest_limit(const Failure& failure) {
  const LimitScope scope = failure.limit.value_or(UsedUpLimit{}).scope;
  if (is_of_names(scope)) return std::chrono::hours(24 * 7);
  return scope == LimitScope::ca ? std::chrono::hours(6) : std::chrono::hours(24);
}

/// No answer at all, or one from something in front of the CA.
bool is_unanswered(const Failure& failure) {
  const int status = failure.request->status;
  const bool was_cut_short_by_us = failure.code == ErrorCode::oversize;
  return (status == 0 && !was_cut_short_by_us) || status == 502 || status == 503 || status == 504;
}

/// Of the row's names those that the CA has paused: it says the same of a wildcard as of the name below it.
/// Where it does not say which, nobody else can be held back, and the row fails by itself.
std::vector<std::string> paused_names(const Task& task, const Failure& failure) {
  std::vector<std::string> paused;
  if (failure.code != ErrorCode::name_paused || !task.account || !task.csr) return paused;
  const std::string& subject = failure.limit.value_or(UsedUpLimit{}).subject;
  std::ranges::copy_if(task.csr->names, std::back_inserter(paused),
                       [&](const std::string& name) { return name == subject || name == "*." + subject; });
  return paused;
}

}  // namespace

void Issuance::ca_answers(PooledCa& ca) {
  if (ca.outage.answered(Outage::Clock::now())) log::info("a CA answers again", {{"ca", ca.name()}});
}

/// The CA may be out of reach, as far as this failure tells, which is then written into `outage`. Where the
/// CA answers other requests meanwhile, it is the row's own failure that repeats.
bool Issuance::is_outage(Task& task, const Failure& failure) {
  if (!task.ca || !failure.request || failure.failure_class != FailureClass::transient) return false;
  if (!is_unanswered(failure)) {
    ca_answers(*task.ca);
    return false;
  }
  const Outage::Clock::time_point now = Outage::Clock::now();
  const Outage::Clock::time_point sent = now - failure.request->took;
  if (task.unanswered++ == 0) task.unanswered_since = sent;
  if (task.unanswered >= most_unanswered && task.ca->outage.answered_since(task.unanswered_since))
    return false;
  if (task.ca->outage.failed(sent, now, failure.detail))
    log::error("a CA is out of reach; its rows wait", {{"ca", task.ca->name()}, {"cause", failure.detail}});
  return true;
}

/// What becomes of the row: ARCHITECTURE.md, "Failure classes".
Progress Issuance::record_outcome(Task& task, Failure failure) {
  log::debug("a step failed", {{"request", store::number(task.claim.fence.request)},
                               {"code", failure.code},
                               {"detail", failure.detail}});
  if (failure.code == acme::problem_type::account_does_not_exist && task.account && !task.registered_again) {
    task.registered_again = true;
    try {
      task.account = accounts_.register_again(*task.ca, *task.account);
      return {.kind = Progress::Kind::waiting, .wait = {}, .failure = std::nullopt};
    } catch (const AccountRefused& refused) {
      return wait_for_account(task, refused);
    } catch (const Error& error) {
      failure = error.failure();
    }
  }
  if (failure.code == ErrorCode::account_deactivated && task.account) {
    try {
      accounts_.give_up(*task.ca, *task.account, failure);
    } catch (const AccountRefused& refused) {
      return wait_for_account(task, refused);
    } catch (const Error& error) {
      failure = error.failure();
    }
  }
  // What one CA refuses for good another may issue: the row's own CA is asked again.
  if (task.at_fallback && failure.failure_class == FailureClass::permanent)
    failure.failure_class = FailureClass::transient;
  if (is_outage(task, failure))
    return wait_or_put_off(task, task.ca->outage.remaining(Outage::Clock::now()).value_or(1s),
                           std::move(failure));
  if (failure.failure_class == FailureClass::limited) return wait_for_limit(task, std::move(failure));
  if (std::vector<std::string> paused = paused_names(task, failure); !paused.empty()) {
    failure.failed_names = std::move(paused);
    return wait_for_pause(task, std::move(failure));
  }
  if (failure.failure_class == FailureClass::administrative) raise_alarm(database_, accounts_, task, failure);
  // An answer that names a far day does not stop a row for longer than its failures do.
  const std::vector<Duration>& schedule = retry_.schedule;
  if (failure.retry_after && !schedule.empty())
    failure.retry_after = std::min(*failure.retry_after, schedule.back());
  const bool written = store::record_failure(database_, task.claim.fence, failure, schedule);
  return {.kind = written ? Progress::Kind::failed : Progress::Kind::dropped,
          .wait = {},
          .failure = std::move(failure)};
}

/// A row that is refused again and again comes back later each time, whatever the CA says: some say 0 for
/// ever.
Progress Issuance::wait_for_limit(Task& task, Failure failure) {
  const std::optional<Duration> told = failure.retry_after;
  if (failure.code == ErrorCode::paced)
    return wait_or_put_off(task, std::max<Duration>(told.value_or(1s), 1s), std::move(failure));
  if (!failure.request) return wait_for_hold(task, told.value_or(shortest_limit), std::move(failure));
  const bool is_busy = failure.request->status == 503;
  if (failure.retry_after) failure.retry_after = std::min(*failure.retry_after, longest_limit(failure));
  const Duration wait = hold_others(task, failure, is_busy ? 1s : shortest_limit);
  // The pacer sees to it that a busy CA is asked less often.
  if (is_busy && wait <= shortest_limit && task.turned_away++ < most_turned_away)
    return wait_or_put_off(task, wait, std::move(failure));
  return put_off(task,
                 std::max(wait, std::min<Duration>(task.claim.attempt * shortest_limit, longest_growth)),
                 std::move(failure));
}

/// The CA has paused a name of the row until a person asks it to go on: all rows with it wait, behind one
/// alarm, and one of them asks again now and then.
Progress Issuance::wait_for_pause(Task& task, Failure failure) {
  raise_alarm(database_, accounts_, task, failure);
  const Duration wait = hold_others(task, failure, shortest_limit);
  return put_off(task, wait, std::move(failure));
}

/// No request was sent. A hold that is about to end is waited for without the slot, which others need.
Progress Issuance::wait_for_hold(Task& task, Duration wait, Failure why) {
  if (why.code != ErrorCode::on_hold || wait > shortest_limit) return put_off(task, wait, std::move(why));
  task.slot = {};
  return tell_and_wait(task, wait, std::move(why));
}

/// In memory, or, if that is long, in the queue.
Progress Issuance::wait_or_put_off(Task& task, Duration wait, Failure failure) {
  if (wait > longest_leased_wait) return put_off(task, wait, std::move(failure));
  return wait_in_memory(task, wait, failure, a_moment);
}

/// For what is to be read in the row from the beginning.
Progress Issuance::tell_and_wait(Task& task, Duration wait, Failure why) {
  if (wait > longest_leased_wait) return put_off(task, wait, std::move(why));
  return wait_in_memory(task, wait, why, Duration::zero());
}

/// With the row kept, which says why if that lasts for longer than a moment.
Progress Issuance::wait_in_memory(Task& task, Duration wait, const Failure& why, Duration moment) {
  WaitInMemory& waiting = task.waiting;
  if (waiting.code != why.code) waiting = {.code = why.code, .since = Outage::Clock::now(), .written = {}};
  if (CaWork::since(waiting.since) + wait > moment && waiting.written != why.detail) {
    if (!store::explain_wait(database_, task.claim.fence, why))
      return {.kind = Progress::Kind::dropped, .wait = {}, .failure = std::nullopt};
    waiting.written = why.detail;
  }
  return {.kind = Progress::Kind::waiting, .wait = wait, .failure = std::nullopt};
}

/// Back to the queue, however short the wait: its reason is to be read, csrq.retry() ends it, and others get
/// the place.
Progress Issuance::put_off(Task& task, Duration wait, Failure failure) {
  wait = with_fallback(task, wait);
  const bool written = store::put_off(database_, task.claim.fence, wait, &failure);
  return {.kind = written ? Progress::Kind::put_off : Progress::Kind::dropped,
          .wait = wait,
          .failure = std::move(failure)};
}

/// Rows that would be told the same wait without asking. A limit that csrq has foreseen holds by itself. How
/// long the wait is.
Duration Issuance::hold_others(const Task& task, const Failure& failure, Duration least) {
  const Duration alone = std::max(failure.retry_after.value_or(least), least);
  if (!task.ca || !failure.request) return alone;
  UsedUpLimit limit = failure.limit.value_or(UsedUpLimit{});
  if (limit.scope == LimitScope::account && !task.account) limit.scope = LimitScope::address;
  if (!task.csr && is_of_names(limit.scope)) return alone;
  const std::vector<std::string> names = task.csr ? task.csr->names : std::vector<std::string>{};
  const std::vector<std::string> domains = limited_domains(names);
  // Everybody's rows for a domain would wait, and which one is meant is not known: whoever asks for a
  // stranger's domain beside its own could hold it up.
  if (limit.scope == LimitScope::registered_domain && limit.subject.empty() && domains.size() > 1)
    return alone;
  return store::write_hold(database_,
                           {.directory = task.ca->directory(),
                            .account = task.account ? task.account->id : store::AccountId{},
                            .request = task.claim.fence.request,
                            .limit = limit,
                            .names = names,
                            .domains = domains},
                           failure.retry_after, failure, least);
}

}  // namespace csrq::issuance
