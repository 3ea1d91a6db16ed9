#include "workers/issuer.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/log.hpp"

namespace csrq::workers {
namespace {

using namespace std::chrono_literals;

constexpr auto heartbeat_interval = 15s;
/// How often a worker that ends looks for the database.
constexpr auto closing_interval = 5s;
constexpr auto rescue_interval = 30s;
/// csrq.retry() ends the waits of this process within about this.
constexpr auto retry_interval = 2s;
constexpr auto notify_interval = 200ms;
constexpr auto tick_interval = 200ms;
/// A task whose step the database did not let end is tried again after this, doubled each time: the step may
/// have got as far as the CA.
constexpr auto step_retry = 5s;
constexpr auto longest_step_retry = 1min;
/// How soon room for a customer's next rows is looked for.
constexpr auto share_retry = 100ms;
constexpr std::size_t largest_claim = 256;

std::string host_name() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown";
}

std::size_t capacity_of(const Config& config, const issuance::CaPool& cas) {
  return static_cast<std::size_t>(std::max(1, std::min(config.worker.in_flight, cas.orders_in_flight())));
}

void try_later(TaskQueue& queue, std::unique_ptr<issuance::Task> task) {
  const Duration wait =
      std::min<Duration>(step_retry * (1 << std::min(task->unwritten, 8)), longest_step_retry);
  ++task->unwritten;
  queue.put(std::move(task), TaskQueue::Clock::now() + wait);
}

}  // namespace

Issuer::Issuer(const Config& config, store::Database& database, issuance::CaPool& cas,
               issuance::Accounts& accounts, IssuerObserver observer)
    : config_(config),
      database_(database),
      cas_(cas),
      issuance_(config, database, clock_, cas, accounts),
      observer_(std::move(observer)),
      capacity_(capacity_of(config, cas)) {}

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
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  queue_.close();  // no further step begins
  news_.notify_all();
}

Tally Issuer::tally() const {
  const std::scoped_lock lock(mutex_);
  Tally tally = tally_;
  tally.in_flight = static_cast<std::int64_t>(leases_.size());
  return tally;
}

void Issuer::serve() {
  worker_ = store::worker_start(database_, host_name(), getpid(), CSRQ_VERSION);
  std::vector<std::jthread> threads;
  const std::size_t count = std::min(capacity_, static_cast<std::size_t>(config_.worker.threads));
  for (std::size_t i = 0; i < count; ++i) threads.emplace_back([this] { step_tasks(); });
  coordinate();
  close();
  threads.clear();  // joins
  try {
    store::worker_stop(database_, worker_);
    store::notify_changes(database_);
  } catch (const std::exception& reason) {
    log::warning("leases could not be given back; other workers take them over when they have run out",
                 {{"error", reason.what()}});
  }
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
      const std::scoped_lock lock(mutex_);
      fatal_ = std::current_exception();
      return;
    }
    if (batch_is_done()) return;
    wait_for_news();
  }
}

/// Heartbeats, waits that somebody has ended, rescue of dead workers' rows, due renewals, notification.
void Issuer::keep_house() {
  const Clock::time_point now = Clock::now();
  if (now >= next_beat_) beat();
  if (now >= next_retries_) hear_of_retries();
  if (now >= next_rescue_) {
    next_rescue_ = now + rescue_interval;
    store::rescue(database_);
    const RenewalConfig& renewal = config_.renewal;
    store::renew_due(
        database_,
        static_cast<int>(std::min<std::int64_t>(renewal.per_run, limit_.value_or(renewal.per_run))),
        renewal.per_hour);
  }
  bool changed = false;
  if (now >= next_notify_) {
    const std::scoped_lock lock(mutex_);
    changed = std::exchange(changed_, false);
  }
  if (changed) {
    next_notify_ = now + notify_interval;
    store::notify_changes(database_);
  }
  if (now >= next_tick_ && observer_.tick) {
    next_tick_ = now + tick_interval;
    observer_.tick(tally());
  }
}

void Issuer::beat() {
  const std::vector<store::Fence> held = leases_.held();
  leases_.mark_dropped(store::heartbeat(database_, worker_, held, config_.worker.lease));
  next_beat_ = Clock::now() + heartbeat_interval;
  clock_.read(database_);
  live_workers_ = store::live_workers(database_);
  cas_.share_among(live_workers_);
}

void Issuer::hear_of_retries() {
  next_retries_ = Clock::now() + retry_interval;
  const std::vector<store::Fence> waiting = queue_.waiting();
  if (waiting.empty()) return;
  const std::vector<store::RetryWish> wishes = store::take_retries(database_, worker_, waiting);
  leases_.mark_retried(wishes);
  std::vector<store::Fence> fences;
  fences.reserve(wishes.size());
  for (const store::RetryWish& wish : wishes) fences.push_back(wish.fence);
  if (!fences.empty()) queue_.hasten(fences);
}

/// In bunches, so that a worker that is nearly full does not claim row by row.
bool Issuer::wants_more() const {
  const std::size_t held = leases_.size();
  if (held >= capacity_) return false;
  if (limit_) {
    const std::scoped_lock lock(mutex_);
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
  std::size_t wanted = std::min(capacity_ - leases_.size(), largest_claim);
  {
    const std::scoped_lock lock(mutex_);
    if (limit_) wanted = std::min(wanted, static_cast<std::size_t>(*limit_ - tally_.claimed));
  }
  std::vector<store::Claim> claims =
      store::claim(database_, worker_, static_cast<int>(wanted), config_.worker.lease,
                   {.policy = config_.accounts.policy,
                    .most_per_customer = most_per_customer(),
                    .most_per_account = config_.accounts.in_flight,
                    .renewals_only = renewals_only_});
  const bool got_all = claims.size() == wanted;
  const bool is_full = may_be_full(leases_.size() + claims.size());
  nothing_due_ = !got_all && !is_full;
  next_claim_ = got_all ? Clock::time_point{}
                        : Clock::now() + (is_full ? std::min<Duration>(config_.worker.poll, share_retry)
                                                  : config_.worker.poll);
  for (store::Claim& claim : claims) {
    leases_.add(claim.fence);
    queue_.put(std::make_unique<issuance::Task>(std::move(claim)), Clock::now());
  }
  const std::scoped_lock lock(mutex_);
  tally_.claimed += static_cast<std::int64_t>(claims.size());
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
  const std::scoped_lock lock(mutex_);
  return fatal_ || (leases_.size() == 0 && (nothing_due_ || tally_.claimed >= *limit_));
}

void Issuer::wait_for_news() {
  Clock::time_point until = std::min(next_beat_, next_rescue_);
  if (leases_.size() > 0) until = std::min(until, next_retries_);
  if (observer_.tick) until = std::min(until, next_tick_);
  if (wants_more()) until = std::min(until, next_claim_);
  if (database_away_) until = Clock::now() + 1s;
  std::unique_lock lock(mutex_);
  if (changed_) until = std::min(until, next_notify_);
  news_.wait_until(lock, until, [this] { return news_came_ || stopping_; });
  news_came_ = false;
}

void Issuer::database_is_away(const Unreachable& reason) {
  if (!database_away_) log::error("the database is away; waiting for it", {{"error", reason.what()}});
  database_away_ = true;
  const std::scoped_lock lock(mutex_);
  if (limit_) fatal_ = std::make_exception_ptr(reason);
}

/// No step is cut short: heartbeats go on until the last has ended. But while the database is away none can
/// be written down, and whoever asks to stop is not kept waiting for CAs.
void Issuer::close() {
  queue_.close();
  if (database_away_) cas_.stop();
  std::unique_lock lock(mutex_);
  closing_ = true;
  while (!news_.wait_for(lock, closing_interval, [this] { return stepping_ == 0; })) {
    lock.unlock();
    try {
      beat();
    } catch (const TryAgain&) {
      // The leases outlive a few missed heartbeats.
    } catch (const Unreachable&) {
      cas_.stop();
    } catch (const std::exception&) {
    }
    lock.lock();
  }
}

void Issuer::step_tasks() {
  while (std::unique_ptr<issuance::Task> task = queue_.take()) {
    {
      const std::scoped_lock lock(mutex_);
      ++stepping_;
    }
    step(std::move(task));
    bool is_awaited = false;
    {
      const std::scoped_lock lock(mutex_);
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
    const issuance::Progress progress =
        leases_.is_dropped(task->claim.fence)
            ? issuance::Progress{.kind = issuance::Progress::Kind::dropped, .wait = {}, .failure = {}}
            : issuance_.advance(*task);
    if (progress.kind == issuance::Progress::Kind::waiting) {
      const store::Fence fence = task->claim.fence;
      queue_.put(std::move(task), Clock::now() + progress.wait);
      if (leases_.is_retried(fence)) queue_.hasten({fence});
      return;
    }
    if (progress.kind == issuance::Progress::Kind::dropped)
      std::ignore = store::drop_cancelled(database_, task->claim.fence);
    finish(*task, progress);
  } catch (const TryAgain& error) {
    log::warning("a step waits for the database",
                 {{"request", store::number(task->claim.fence.request)}, {"error", error.what()}});
    try_later(queue_, std::move(task));
  } catch (const Unreachable&) {
    if (limit_) {
      const std::scoped_lock lock(mutex_);
      fatal_ = std::current_exception();
      news_came_ = true;
    }
    try_later(queue_, std::move(task));
  } catch (const std::exception& error) {
    log::error("what became of a step could not be written down; it will be tried again",
               {{"request", store::number(task->claim.fence.request)}, {"error", error.what()}});
    try_later(queue_, std::move(task));
  }
}

void Issuer::finish(const issuance::Task& task, const issuance::Progress& progress) {
  leases_.remove(task.claim.fence);
  const std::scoped_lock lock(mutex_);
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
                        .names = task.csr ? task.csr->names : task.claim.names,
                        .progress = progress});
}

}  // namespace csrq::workers
