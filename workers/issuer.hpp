#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <optional>

#include "accounts/accounts.hpp"
#include "base/mutex.hpp"
#include "issuance/progress.hpp"
#include "issuance/world.hpp"
#include "workers/claim_pace.hpp"
#include "workers/lease_book.hpp"
#include "workers/step_pool.hpp"
#include "workers/task_queue.hpp"
#include "workers/timetable.hpp"

namespace csrq {
struct Config;
}  // namespace csrq

namespace csrq::workers {

/// What became of the rows that a worker claimed.
struct Tally {
  std::int64_t claimed{};
  std::int64_t issued{};
  std::int64_t revoked{};
  std::int64_t put_off{};
  std::int64_t failed{};
  std::int64_t dropped{};
  std::int64_t in_flight{};
};

/// A row that this worker is done with for now.
struct Outcome {
  store::RequestId request{};
  const std::string& customer;
  const std::vector<std::string>& names;
  const issuance::Progress& progress;
};

/// Both are called one at a time, and must not block for long.
struct IssuerObserver {
  std::function<void(const Outcome&)> finished{};
  std::function<void(const Tally&)> tick{};  ///< several times a second
};

/// The long-running loop: claims due rows (ClaimPace), has them taken through their steps (StepPool), keeps
/// their leases alive, and does what else a worker does again and again (Timetable).
class Issuer {
 public:
  /// All must outlive this. `database`: for the steps; `coordination`: for heartbeats, claims and chores, so
  /// that none of them waits for what a step writes.
  Issuer(const Config& config, store::Database& database, store::Database& coordination, cas::CaPool& cas,
         accounts::Accounts& accounts, IssuerObserver observer);

  /// Works until stop(); waits for the database whenever it is away.
  void work();
  /// One batch: at most `limit` due rows, due renewals among them; ends when each is issued, failed or put
  /// off by more than a minute, or after stop(). Throws Unreachable if the database stays away.
  /// `renewals_only`: nothing but renewals that fell due.
  Tally run(std::int64_t limit, bool renewals_only = false);
  /// Steps under way are finished, leases given back; then work() or run() returns. Callable from any thread.
  void stop();
  /// As it stands this moment. Callable from any thread.
  Tally tally() const;

 private:
  using Clock = std::chrono::steady_clock;

  ClaimPace pace(std::optional<std::int64_t> limit) const;
  Timetable timetable();
  StepEvents step_events();
  void serve();
  void coordinate();
  void beat_if_due();
  void beat();
  void register_again();
  void claim_more(std::size_t wanted);
  std::size_t working() const;
  int most_per_customer() const;
  bool is_a_share(std::size_t leases) const;
  bool batch_is_done() const;
  std::uint64_t connections() const;
  void hear_of_retries();
  void hear_of_unlocked();
  void renew_due();
  void tell_of_changes();
  bool has_work() const;
  void wait_for_news();
  void tell_news();
  void close(StepPool& pool);
  void finish(const issuance::Task& task, const issuance::Progress& progress);
  void give_up(std::exception_ptr reason);
  void database_is_away(const Unreachable& reason);

  const Config& config_;
  store::Database& database_;
  store::Database& coordination_;
  cas::CaPool& cas_;
  accounts::Accounts& accounts_;
  store::DatabaseClock clock_{};
  issuance::World world_;
  IssuerObserver observer_;
  const std::size_t capacity_;
  std::optional<std::int64_t> limit_{};  ///< of a batch
  bool renewals_only_{false};

  store::WorkerId worker_{};
  TaskQueue queue_{};
  LeaseBook leases_{};
  std::atomic<bool> stopping_{false};

  // Only the coordinating thread:
  ClaimPace pace_;
  Timetable timetable_;
  Clock::time_point next_beat_{};
  int live_workers_{1};
  std::uint64_t connections_{0};  ///< to the database, when the last heartbeat was sent
  bool database_away_{false};

  mutable Mutex mutex_{};
  std::condition_variable_any news_{};
  Tally tally_ CSRQ_GUARDED_BY(mutex_){};
  bool news_came_ CSRQ_GUARDED_BY(mutex_){false};       ///< since the coordinating thread last looked
  bool changed_ CSRQ_GUARDED_BY(mutex_){false};         ///< rows have changed since the last NOTIFY
  std::exception_ptr fatal_ CSRQ_GUARDED_BY(mutex_){};  ///< why work() or run() cannot go on
};

}  // namespace csrq::workers
