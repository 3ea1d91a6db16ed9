#include "issuance/failed_step.hpp"

#include <utility>

#include "base/log.hpp"
#include "cas/rate_limits.hpp"
#include "config/retry.hpp"
#include "issuance/account_trouble.hpp"
#include "issuance/alarms.hpp"
#include "issuance/reach.hpp"
#include "issuance/wait.hpp"

namespace csrq::issuance {
namespace {

/// How long the hold lasts, which others may have made longer.
Duration write_hold(World& world, const Task& task, const UsedUpLimit& limit, const Outcome& outcome) {
  const std::vector<std::string> names = task.names();
  const Place& place = task.place;
  return store::write_hold(world.database,
                           {.directory = place.ca->directory(),
                            .account = place.account ? place.account->id : store::AccountId{},
                            .request = task.claim.fence.request,
                            .limit = limit,
                            .names = names,
                            .domains = cas::limited_domains(names)},
                           outcome.failure.retry_after, outcome.failure, outcome.later->wait);
}

Progress record_failure(World& world, const Task& task, Failure failure) {
  const bool written = store::record_failure(world.database, task.claim.fence, failure, world.retry.schedule);
  return written ? Progress::failed(std::move(failure)) : Progress::dropped();
}

}  // namespace

Progress end_failed_step(World& world, Task& task, Failure failure) {
  log::debug("a step failed",
             {{"request", task.request()}, {"code", failure.code}, {"detail", failure.detail}});
  if (std::optional<Progress> end = look_after_account(world, task, failure)) return *end;
  const std::optional<Duration> outage = note_failure(task, failure);
  return carry_out(world, task,
                   outcome_of(std::move(failure), {.names = task.names(),
                                                   .has_account = task.place.account != nullptr,
                                                   .is_at_fallback = task.place.is_fallback,
                                                   .attempt = task.claim.attempt,
                                                   .turned_away = task.patience.turned_away,
                                                   .outage = outage,
                                                   .schedule = world.retry.schedule}));
}

Progress carry_out(World& world, Task& task, Outcome outcome) {
  if (outcome.raises_alarm) raise_alarm(world.database, world.accounts, task, outcome.failure);
  if (!outcome.later) return record_failure(world, task, std::move(outcome.failure));
  if (outcome.hold) outcome.later->wait = write_hold(world, task, *outcome.hold, outcome);
  const Progress progress = wait(world, task, *outcome.later, std::move(outcome.failure));
  if (outcome.is_turned_away && progress.kind == Progress::Kind::waiting) ++task.patience.turned_away;
  return progress;
}

}  // namespace csrq::issuance
