#include "workers/issuer.hpp"

#include <unistd.h>

#include <algorithm>

#include "base/log.hpp"
#include "base/this_host.hpp"
#include "config/config.hpp"
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
/// A batch does not wait for rows that have been locked for so long.
constexpr Duration longest_lock_of_batch = 1min;

std::size_t capacity_of(const Config& config, const cas::CaPool& cas) {
  return static_cast<std::size_t>(std::max(1, std::min(config.worker.in_flight, cas.orders_in_flight())));
}

void count(issuance::Progress::Kind kind, Tally& tally) {
  using Kind = issuance::Progress::Kind;
  switch (kind) {
    case Kind::issued:
      ++tally.issued;
      break;
    case Kind::revoked:
      ++tally.revoked;
      break;
    case Kind::put_off:
      ++tally.put_off;
      break;
    case Kind::failed:
      ++tally.failed;
      break;
    case Kind::dropped:
    case Kind::waiting:
      ++tally.dropped;
      break;
  }
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
      pace_(pace({})),
      timetable_(timetable()) {}

ClaimPace Issuer::pace(std::optional<std::int64_t> limit) const {
  return ClaimPace({.capacity = capacity_, .poll = config_.worker.poll, .limit = limit});
}

Timetable Issuer::timetable() {
  std::vector<Timetable::Entry> entries;
  const auto add = [&](std::string_view name, Duration interval, std::function<void()> run) {
    entries.push_back({{.name = name, .run = std::move(run)}, interval, false});
  };
  const auto add_for_leases = [&](std::string_view name, Duration interval, std::function<void()> run) {
    entries.push_back({{.name = name, .run = std::move(run)}, interval, true});
  };
  add_for_leases("retries", retry_interval, [this] { hear_of_retries(); });
  add_for_leases("locks", retry_interval, [this] { hear_of_unlocked(); });
  add("wishes", wish_interval, [this] { store::carry_out_wishes(coordination_); });
  add("rescue", rescue_interval, [this] { store::rescue(coordination_); });
  add("suspensions", rescue_interval, [this] { store::follow_suspensions(coordination_); });
  add("renewals", rescue_interval, [this] { renew_due(); });
  add_for_leases("notification", notify_interval, [this] { tell_of_changes(); });
  if (observer_.tick) add("tick", tick_interval, [this] { observer_.tick(tally()); });
  return {std::move(entries), config_.worker.poll};
}

StepEvents Issuer::step_events() {
  return {.finished = [this](const auto& task, const auto& progress) { finish(task, progress); },
          .locked = [this] { tell_news(); },
          .unreachable =
              [this] {
                if (limit_) give_up(std::current_exception());
              }};
}

void Issuer::work() {
  serve();
}

Tally Issuer::run(std::int64_t limit, bool renewals_only) {
  limit_ = limit;
  renewals_only_ = renewals_only;
  pace_ = pace(limit);
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
  {
    StepPool pool(world_, database_, queue_, leases_, step_events());
    pool.start(std::min(capacity_, static_cast<std::size_t>(config_.worker.threads)));
    coordinate();
    close(pool);
  }
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
      beat_if_due();
      timetable_.do_due(has_work());
      if (const std::size_t wanted = pace_.wanted(working()); wanted > 0 && Clock::now() >= pace_.next())
        claim_more(wanted);
      database_away_ = false;
    } catch (const TryAgain& reason) {
      log::warning("the database refuses for now; tried again", {{"error", reason.what()}});
      pace_.postpone(Clock::now());
    } catch (const Unreachable& reason) {
      database_is_away(reason);
    } catch (...) {
      // The database refuses what every worker must do: steps end in order, then the caller hears of it.
      return give_up(std::current_exception());
    }
    if (batch_is_done()) return;
    wait_for_news();
  }
}

/// At its time, and on a new connection: the server may be another. Without heartbeats the leases run out, so
/// a heartbeat that fails ends the worker.
void Issuer::beat_if_due() {
  if (Clock::now() < next_beat_ && connections() == connections_) return;
  next_beat_ = Clock::now() + heartbeat_interval;
  try {
    beat();
  } catch (const TryAgain& reason) {
    next_beat_ = Clock::now() + std::min<Duration>(heartbeat_interval, config_.worker.poll);
    log::warning("the database refuses a heartbeat for now; tried again", {{"error", reason.what()}});
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
  if (!gone.empty()) pace_.hurry();
  const Lock lock(mutex_);
  tally_.put_off += static_cast<std::int64_t>(gone.size());
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

/// Leases that take up room. Those whose rows somebody has locked take none, or one customer's open
/// transaction would stop all the others.
std::size_t Issuer::working() const {
  const std::size_t locked = leases_.count_locked();
  return leases_.size() - std::min(locked, leases_.size());
}

void Issuer::claim_more(std::size_t wanted) {
  // Rows that could only be put off stay where they are, for the workers that have a CA in reach.
  if (const std::optional<Duration> pause = cas_.pause()) return pace_.pause(*pause, Clock::now());
  std::vector<store::Claim> claims =
      store::claim(coordination_, worker_, static_cast<int>(wanted), config_.worker.lease,
                   {.policy = config_.accounts.policy,
                    .most_per_customer = most_per_customer(),
                    .most_per_account = config_.accounts.in_flight,
                    .renewals_only = renewals_only_});
  const std::size_t got = claims.size();
  const bool is_share = is_a_share(leases_.size() + got);
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
  const bool more_is_due = is_share || (got < wanted && pace_.looks_again(got == 0) &&
                                        store::is_anything_due(coordination_, renewals_only_));
  pace_.claimed(wanted, got, more_is_due, Clock::now());
  const Lock lock(mutex_);
  tally_.claimed += static_cast<std::int64_t>(got);
}

/// Room is kept for the others, however much one customer has to do.
int Issuer::most_per_customer() const {
  const int capacity = static_cast<int>(capacity_);
  return std::max(1, std::min(config_.worker.in_flight_per_customer, capacity - capacity / 8));
}

/// Of a customer or account that has its share already more rows may be due. One customer's of a shared
/// account is three quarters, of all workers together (csrq.claim).
bool Issuer::is_a_share(std::size_t leases) const {
  const int share_of_account = std::max(1, config_.accounts.in_flight * 3 / 4 / live_workers_);
  return leases >= static_cast<std::size_t>(std::min(most_per_customer(), share_of_account));
}

bool Issuer::batch_is_done() const {
  if (!limit_) return false;
  const bool is_idle = leases_.size() == leases_.count_locked(longest_lock_of_batch);
  const Lock lock(mutex_);
  return fatal_ || (is_idle && pace_.is_over());
}

/// Something that the chores for leases are about.
bool Issuer::has_work() const {
  const Lock lock(mutex_);
  return changed_ || leases_.size() > 0;
}

void Issuer::wait_for_news() {
  Clock::time_point until = std::min(next_beat_, timetable_.next(has_work()));
  if (pace_.wanted(working()) > 0) until = std::min(until, pace_.next());
  if (database_away_) until = Clock::now() + 1s;
  const Lock lock(mutex_);
  news_.wait_until(mutex_, until, [this]() CSRQ_REQUIRES(mutex_) { return news_came_ || stopping_; });
  news_came_ = false;
}

void Issuer::tell_news() {
  {
    const Lock lock(mutex_);
    news_came_ = true;
  }
  news_.notify_all();
}

void Issuer::give_up(std::exception_ptr reason) {
  {
    const Lock lock(mutex_);
    fatal_ = std::move(reason);
  }
  tell_news();
}

void Issuer::database_is_away(const Unreachable& reason) {
  if (!database_away_) log::error("the database is away; waiting for it", {{"error", reason.what()}});
  database_away_ = true;
  if (limit_) give_up(std::current_exception());
}

/// No step is cut short: heartbeats go on until the last has ended. But while the database is away none can
/// be written down, and whoever asks to stop is not kept waiting for CAs.
void Issuer::close(StepPool& pool) {
  queue_.close();
  if (database_away_) cas_.stop();
  while (!pool.wait_for_end(closing_interval)) {
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

void Issuer::finish(const issuance::Task& task, const issuance::Progress& progress) {
  {
    const Lock lock(mutex_);
    changed_ = true;
    count(progress.kind, tally_);
    if (observer_.finished)
      observer_.finished({.request = task.claim.fence.request,
                          .customer = task.claim.customer,
                          .names = task.goal.csr ? task.goal.csr->names : task.claim.names,
                          .progress = progress});
  }
  tell_news();
}

}  // namespace csrq::workers
