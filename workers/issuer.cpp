#include "workers/issuer.hpp"

#include <unistd.h>

#include <algorithm>

#include "base/log.hpp"
#include "base/this_host.hpp"
#include "config/config.hpp"
#include "issuance/step.hpp"
#include "store/migrations.hpp"

namespace csrq::workers {
namespace {

using namespace std::chrono_literals;

constexpr auto heartbeat_interval = 15s;
/// How often a worker that ends looks for the database.
constexpr auto closing_interval = 5s;
constexpr auto rescue_interval = 30s;
/// csrq.retry() ends the waits of this process within about this, and rows go on that somebody had locked.
constexpr auto retry_interval = 2s;
constexpr auto wish_interval = 5s;
constexpr auto notify_interval = 200ms;
constexpr auto tick_interval = 200ms;
/// A task whose step the database did not let end is tried again after this, doubled each time: the step may
/// have got as far as the CA.
constexpr auto step_retry = 5s;
constexpr auto longest_step_retry = 1min;
/// How soon room for a customer's next rows is looked for.
constexpr auto share_retry = 100ms;
constexpr std::size_t largest_claim = 256;
/// A batch looks again so often where another worker's claim was at what is due.
constexpr int most_claims_in_vain = 10;
/// A heartbeat of this process, or a csrq.retry(), has a row locked for a moment; whoever has it longer
/// is not waited for.
constexpr auto moment_of_a_lock = 100ms;
/// A batch does not wait for rows that have been locked for so long.
constexpr Duration longest_lock_of_batch = 1min;

std::size_t capacity_of(const Config& config, const cas::CaPool& cas) {
  return static_cast<std::size_t>(std::max(1, std::min(config.worker.in_flight, cas.orders_in_flight())));
}

void try_later(TaskQueue& queue, std::unique_ptr<issuance::Task> task) {
  const Duration wait =
      std::min<Duration>(step_retry * (1 << std::min(task->patience.unwritten, 8)), longest_step_retry);
  ++task->patience.unwritten;
  queue.put(std::move(task), TaskQueue::Clock::now() + wait);
}

}  // namespace

Issuer::Issuer(const Config& config, store::Database& database, store::Database& coordination,
               cas::CaPool& cas, accounts::Accounts& accounts, IssuerObserver observer)
    : config_(config),
      database_(database),
      coordination_(coordination),
      cas_(cas),
      accounts_(accounts),
      world_(config, database, clock_, cas, accounts, issuance::configured_proofs(config, cas)),
      observer_(std::move(observer)),
      capacity_(capacity_of(config, cas)),
      chores_{
          {.name = "heartbeat", .interval = heartbeat_interval, .run = &Issuer::beat, .is_for_leases = false},
          {.name = "retries",
           .interval = retry_interval,
           .run = &Issuer::hear_of_retries,
           .is_for_leases = true},
          {.name = "locks",
           .interval = retry_interval,
           .run = &Issuer::hear_of_unlocked,
           .is_for_leases = true},
          {.name = "wishes",
           .interval = wish_interval,
           .run = &Issuer::carry_out_wishes,
           .is_for_leases = false},
          {.name = "rescue", .interval = rescue_interval, .run = &Issuer::rescue, .is_for_leases = false},
          {.name = "suspensions",
           .interval = rescue_interval,
           .run = &Issuer::follow_suspensions,
           .is_for_leases = false},
          {.name = "renewals",
           .interval = rescue_interval,
           .run = &Issuer::renew_due,
           .is_for_leases = false},
          {.name = "notification",
           .interval = notify_interval,
           .run = &Issuer::tell_of_changes,
           .is_for_leases = true}} {
  if (observer_.tick)
    chores_.push_back(
        {.name = "tick", .interval = tick_interval, .run = &Issuer::tick, .is_for_leases = false});
}

void Issuer::work() {
  serve();
}

Tally Issuer::run(std::int64_t limit, bool renewals_only) {
  limit_ = limit;
  renewals_only_ = renewals_only;
  serve();
  return tally();
}

void Issuer::stop() {
  {
    const Lock lock(mutex_);
    stopping_ = true;
  }
  queue_.close();  // no further step begins
  news_.notify_all();
}

Tally Issuer::tally() const {
  const Lock lock(mutex_);
  Tally tally = tally_;
  tally.in_flight = static_cast<std::int64_t>(leases_.size());
  return tally;
}

void Issuer::serve() {
  worker_ = store::worker_start(coordination_, name_of_this_host(), getpid(), CSRQ_VERSION);
  std::vector<std::jthread> threads;
  const std::size_t count = std::min(capacity_, static_cast<std::size_t>(config_.worker.threads));
  for (std::size_t i = 0; i < count; ++i) threads.emplace_back([this] { step_tasks(); });
  coordinate();
  close();
  threads.clear();  // joins
  try {
    store::worker_stop(coordination_, worker_);
    store::notify_changes(coordination_);
  } catch (const std::exception& reason) {
    log::warning("leases could not be given back; other workers take them over when they have run out",
                 {{"error", reason.what()}});
  }
  const Lock lock(mutex_);
  if (fatal_) std::rethrow_exception(fatal_);
}

void Issuer::coordinate() {
  while (!stopping_) {
    try {
      keep_house();
      if (wants_more() && Clock::now() >= next_claim_) claim_more();
      database_away_ = false;
    } catch (const TryAgain& reason) {
      log::warning("the database refuses for now; tried again", {{"error", reason.what()}});
      next_claim_ = Clock::now() + config_.worker.poll;
    } catch (const Unreachable& reason) {
      database_is_away(reason);
    } catch (...) {
      // The database refuses what every worker must do: steps end in order, then the caller hears of it.
      const Lock lock(mutex_);
      fatal_ = std::current_exception();
      return;
    }
    if (batch_is_done()) return;
    wait_for_news();
  }
}

void Issuer::keep_house() {
  const bool is_connected_anew = connections() != connections_;
  for (Chore& chore : chores_) {
    const bool is_due = Clock::now() >= chore.next || (is_connected_anew && chore.run == &Issuer::beat);
    if (is_due && (!chore.is_for_leases || leases_.size() > 0 || is_changed())) do_chore(chore);
  }
}

void Issuer::do_chore(Chore& chore) {
  chore.next = Clock::now() + chore.interval;
  try {
    (this->*chore.run)();
  } catch (const TryAgain& reason) {
    chore.next = Clock::now() + std::min<Duration>(chore.interval, config_.worker.poll);
    log::warning("the database refuses a chore for now; tried again",
                 {{"chore", chore.name}, {"error", reason.what()}});
  } catch (const Unreachable&) {
    throw;
  } catch (const std::exception& reason) {
    if (chore.run == &Issuer::beat) throw;  // without heartbeats its leases run out
    log::error("a chore failed; tried again", {{"chore", chore.name}, {"error", reason.what()}});
  }
}

/// Of both: one more than before, and the server may be another.
std::uint64_t Issuer::connections() const {
  return database_.statistics().connections + coordination_.statistics().connections;
}

void Issuer::beat() {
  store::require_same_schema(coordination_);
  connections_ = connections();
  if (!store::is_registered(coordination_, worker_)) register_again();
  const std::vector<store::Fence> fences = leases_.leases();
  leases_.mark_dropped(store::heartbeat(coordination_, worker_, fences, config_.worker.lease));
  clock_.read(coordination_);
  live_workers_ = store::live_workers(coordination_);
  cas_.share_among(live_workers_);
}

/// What this process has in mind may be of a time that the database has lost: every row is claimed anew.
void Issuer::register_again() {
  log::warning(
      "the database no longer knows this worker, or was promoted, restored or copied: it starts anew");
  const std::vector<store::Fence> fences = leases_.leases();
  leases_.mark_dropped(fences);
  queue_.hasten(fences);
  accounts_.look_up_again();
  store::worker_stop(coordination_, worker_);  // gives back what was claimed meanwhile
  worker_ = store::worker_start(coordination_, name_of_this_host(), getpid(), CSRQ_VERSION);
}

void Issuer::hear_of_retries() {
  const std::vector<store::Fence> waiting = queue_.waiting();
  if (waiting.empty()) return;
  const std::vector<store::RetryWish> wishes = store::take_retries(coordination_, worker_, waiting);
  leases_.mark_retried(wishes);
  std::vector<store::Fence> fences;
  fences.reserve(wishes.size());
  for (const store::RetryWish& wish : wishes) fences.push_back(wish.fence);
  if (!fences.empty()) queue_.hasten(fences);
}

void Issuer::hear_of_unlocked() {
  const std::vector<store::Fence> locked = leases_.locked_without_task();
  if (locked.empty()) return;
  const std::vector<store::Fence> gone = store::give_back_unlocked(coordination_, worker_, locked);
  for (const store::Fence& fence : gone) leases_.remove(fence);
  if (!gone.empty()) next_claim_ = Clock::now();
  const Lock lock(mutex_);
  tally_.put_off += static_cast<std::int64_t>(gone.size());
}

void Issuer::rescue() {
  store::rescue(coordination_);
}

void Issuer::follow_suspensions() {
  store::follow_suspensions(coordination_);
}

void Issuer::carry_out_wishes() {
  store::carry_out_wishes(coordination_);
}

void Issuer::renew_due() {
  const RenewalConfig& renewal = config_.renewal;
  store::renew_due(
      coordination_,
      static_cast<int>(std::min<std::int64_t>(renewal.per_run, limit_.value_or(renewal.per_run))),
      renewal.per_hour);
}

void Issuer::tell_of_changes() {
  {
    const Lock lock(mutex_);
    if (!std::exchange(changed_, false)) return;
  }
  store::notify_changes(coordination_);
}

void Issuer::tick() {
  observer_.tick(tally());
}

bool Issuer::is_changed() const {
  const Lock lock(mutex_);
  return changed_;
}

/// Leases that take up room. Those whose rows somebody has locked take none, or one customer's open
/// transaction would stop all the others.
std::size_t Issuer::working() const {
  const std::size_t locked = leases_.count_locked();
  return leases_.size() - std::min(locked, leases_.size());
}

/// In bunches, so that a worker that is nearly full does not claim row by row.
bool Issuer::wants_more() const {
  const std::size_t held = working();
  if (held >= capacity_) return false;
  if (limit_) {
    const Lock lock(mutex_);
    if (nothing_due_ || tally_.claimed >= *limit_) return false;
  }
  return held == 0 || capacity_ - held >= std::max<std::size_t>(1, capacity_ / 8);
}

void Issuer::claim_more() {
  // Rows that could only be put off stay where they are, for the workers that have a CA in reach.
  if (const std::optional<Duration> pause = cas_.pause()) {
    nothing_due_ = true;
    next_claim_ = Clock::now() + std::min<Duration>(*pause, config_.worker.poll);
    return;
  }
  std::size_t wanted = std::min(capacity_ - std::min(working(), capacity_), largest_claim);
  {
    const Lock lock(mutex_);
    if (limit_) wanted = std::min(wanted, static_cast<std::size_t>(*limit_ - tally_.claimed));
  }
  std::vector<store::Claim> claims =
      store::claim(coordination_, worker_, static_cast<int>(wanted), config_.worker.lease,
                   {.policy = config_.accounts.policy,
                    .most_per_customer = most_per_customer(),
                    .most_per_account = config_.accounts.in_flight,
                    .renewals_only = renewals_only_});
  const std::size_t claimed = claims.size();
  const bool is_full = may_be_full(leases_.size() + claimed);
  for (store::Claim& claim : claims) {
    leases_.add(claim.fence);
    queue_.put(std::make_unique<issuance::Task>(std::move(claim)), Clock::now());
  }
  if (connections() != connections_) {
    const store::WorkerId former = worker_;
    beat();
    if (worker_ != former)
      return;  // they were claimed on a server that was promoted meanwhile, and are given back
  }
  const bool got_all = claimed == wanted;
  const bool looks_again = is_full || (!got_all && another_was_at_it(claimed == 0));
  nothing_due_ = !got_all && !looks_again;
  next_claim_ = got_all ? Clock::time_point{}
                        : Clock::now() + (looks_again ? std::min<Duration>(config_.worker.poll, share_retry)
                                                      : config_.worker.poll);
  const Lock lock(mutex_);
  tally_.claimed += static_cast<std::int64_t>(claimed);
}

/// A batch that found nothing, or little, since another worker's claim had the same turns locked at that
/// moment, is not at its end.
bool Issuer::another_was_at_it(bool got_nothing) {
  if (!limit_ || claims_in_vain_ >= most_claims_in_vain) return false;
  claims_in_vain_ = got_nothing ? claims_in_vain_ + 1 : 0;
  return store::is_anything_due(coordination_, renewals_only_);
}

/// Room is kept for the others, however much one customer has to do.
int Issuer::most_per_customer() const {
  const int capacity = static_cast<int>(capacity_);
  return std::max(1, std::min(config_.worker.in_flight_per_customer, capacity - capacity / 8));
}

/// Of a customer or account that has its share already more rows may be due. One customer's of a shared
/// account is three quarters, of all workers together (csrq.claim).
bool Issuer::may_be_full(std::size_t held) const {
  const int share_of_account = std::max(1, config_.accounts.in_flight * 3 / 4 / live_workers_);
  return held >= static_cast<std::size_t>(std::min(most_per_customer(), share_of_account));
}

bool Issuer::batch_is_done() const {
  if (!limit_) return false;
  const bool is_idle = leases_.size() == leases_.count_locked(longest_lock_of_batch);
  const Lock lock(mutex_);
  return fatal_ || (is_idle && (nothing_due_ || tally_.claimed >= *limit_));
}

void Issuer::wait_for_news() {
  const bool has_leases = leases_.size() > 0;
  Clock::time_point until = Clock::time_point::max();
  for (const Chore& chore : chores_)
    if (!chore.is_for_leases || has_leases || is_changed()) until = std::min(until, chore.next);
  if (wants_more()) until = std::min(until, next_claim_);
  if (database_away_) until = Clock::now() + 1s;
  const Lock lock(mutex_);
  news_.wait_until(mutex_, until, [this]() CSRQ_REQUIRES(mutex_) { return news_came_ || stopping_; });
  news_came_ = false;
}

void Issuer::database_is_away(const Unreachable& reason) {
  if (!database_away_) log::error("the database is away; waiting for it", {{"error", reason.what()}});
  database_away_ = true;
  const Lock lock(mutex_);
  if (limit_) fatal_ = std::make_exception_ptr(reason);
}

/// No step is cut short: heartbeats go on until the last has ended. But while the database is away none can
/// be written down, and whoever asks to stop is not kept waiting for CAs.
void Issuer::close() {
  queue_.close();
  if (database_away_) cas_.stop();
  const Lock lock(mutex_);
  closing_ = true;
  const auto is_over = [this]() CSRQ_REQUIRES(mutex_) { return stepping_ == 0; };
  while (!news_.wait_for(mutex_, closing_interval, is_over)) {
    const Unlock unlocked(mutex_);
    try {
      beat();
    } catch (const TryAgain&) {
      // The leases outlive a few missed heartbeats.
    } catch (const Unreachable&) {
      cas_.stop();
    } catch (const std::exception&) {
    }
  }
}

void Issuer::step_tasks() {
  while (std::unique_ptr<issuance::Task> task = queue_.take()) {
    {
      const Lock lock(mutex_);
      ++stepping_;
    }
    step(std::move(task));
    bool is_awaited = false;
    {
      const Lock lock(mutex_);
      --stepping_;
      is_awaited = news_came_ || (closing_ && stepping_ == 0);
    }
    if (is_awaited) news_.notify_all();
  }
}

void Issuer::step(std::unique_ptr<issuance::Task> task) {
  if (const std::optional<store::RetryWish> wish = leases_.take_retry(task->claim.fence))
    task->retry(wish->asks_anew);
  try {
    const issuance::Progress progress = leases_.is_dropped(task->claim.fence)
                                            ? issuance::Progress::dropped()
                                            : issuance::advance(world_, *task);
    if (progress.kind == issuance::Progress::Kind::waiting) {
      task->patience.locked_looks = 0;
      leases_.mark_unlocked(task->claim.fence);
      const store::Fence fence = task->claim.fence;
      queue_.put(std::move(task), Clock::now() + progress.wait);
      if (leases_.is_retried(fence)) queue_.hasten({fence});
      return;
    }
    if (progress.kind == issuance::Progress::Kind::dropped) drop(*task);
    finish(*task, progress);
  } catch (const store::RowLocked&) {
    wait_for_lock(std::move(task));
  } catch (const TryAgain& error) {
    log::warning("a step waits for the database", {{"request", task->request()}, {"error", error.what()}});
    try_later(queue_, std::move(task));
  } catch (const Unreachable&) {
    if (limit_) {
      const Lock lock(mutex_);
      fatal_ = std::current_exception();
      news_came_ = true;
    }
    try_later(queue_, std::move(task));
  } catch (const std::exception& error) {
    log::error("what became of a step could not be written down; it will be tried again",
               {{"request", task->request()}, {"error", error.what()}});
    try_later(queue_, std::move(task));
  }
}

/// Cancelled, or another worker's by now. Or the database has lost what this one knows of the row: then an
/// order may be at the CA that nobody else has heard of.
void Issuer::drop(const issuance::Task& task) {
  if (store::drop_cancelled(database_, task.claim.fence)) return;
  const std::string url = task.order.url();
  if (!url.empty() && !store::unknown_orders(database_, {url}).empty())
    log::warning("the database has lost an order that is at the CA; it is looked for there",
                 {{"request", task.request()}, {"order", url}});
}

/// However many rows somebody has locked, they cost no more than their numbers: the task goes, and the row is
/// given back when it is free. Only one that knows what no database knows, an order that was just made, is
/// kept.
void Issuer::wait_for_lock(std::unique_ptr<issuance::Task> task) {
  task->place.slot = {};
  if (task->patience.locked_looks++ == 0) return queue_.put(std::move(task), Clock::now() + moment_of_a_lock);
  const bool is_kept = task->order.unrecorded.has_value();
  if (leases_.mark_locked(task->claim.fence, is_kept))
    log::info("an open transaction has a row locked; it goes on when that ends",
              {{"request", task->request()}, {"customer", task->claim.customer}});
  if (is_kept) queue_.put(std::move(task), Clock::now() + step_retry);
  const Lock lock(mutex_);
  news_came_ = true;  // there may be room now
}

void Issuer::finish(const issuance::Task& task, const issuance::Progress& progress) {
  leases_.remove(task.claim.fence);
  const Lock lock(mutex_);
  changed_ = news_came_ = true;
  using Kind = issuance::Progress::Kind;
  switch (progress.kind) {
    case Kind::issued:
      ++tally_.issued;
      break;
    case Kind::revoked:
      ++tally_.revoked;
      break;
    case Kind::put_off:
      ++tally_.put_off;
      break;
    case Kind::failed:
      ++tally_.failed;
      break;
    case Kind::dropped:
    case Kind::waiting:
      ++tally_.dropped;
      break;
  }
  if (observer_.finished)
    observer_.finished({.request = task.claim.fence.request,
                        .customer = task.claim.customer,
                        .names = task.goal.csr ? task.goal.csr->names : task.claim.names,
                        .progress = progress});
}

}  // namespace csrq::workers
