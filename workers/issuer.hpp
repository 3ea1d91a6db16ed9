#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <string_view>
#include <thread>
#include <vector>

#include "base/mutex.hpp"
#include "issuance/progress.hpp"
#include "issuance/world.hpp"
#include "workers/lease_book.hpp"
#include "workers/task_queue.hpp"

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

/// The long-running loop: claims due rows, takes them through their steps on a bounded pool of threads, keeps
/// their leases alive.
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
  using Clock = TaskQueue::Clock;

  /// What is done again and again by the coordinating thread. One that fails keeps no other back.
  struct Chore {
    std::string_view name;
    Duration interval;
    void (Issuer::*run)();
    bool is_for_leases;  ///< needless while there are none
    Clock::time_point next{};
  };

  void serve();
  void coordinate();
  void keep_house();
  void do_chore(Chore& chore);
  void claim_more();
  std::size_t working() const;
  bool wants_more() const;
  int most_per_customer() const;
  bool may_be_full(std::size_t held) const;
  bool batch_is_done() const;
  std::uint64_t connections() const;
  void beat();
  void register_again();
  void hear_of_retries();
  void hear_of_unlocked();
  void rescue();
  void follow_suspensions();
  void carry_out_wishes();
  void renew_due();
  void tell_of_changes();
  void tick();
  bool is_changed() const;
  bool another_was_at_it(bool got_nothing);
  void wait_for_news();
  void close();
  void step_tasks();
  void step(std::unique_ptr<issuance::Task> task);
  void drop(const issuance::Task& task);
  void finish(const issuance::Task& task, const issuance::Progress& progress);
  void wait_for_lock(std::unique_ptr<issuance::Task> task);
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
  Clock::time_point next_claim_{};
  std::vector<Chore> chores_;
  int live_workers_{1};
  std::uint64_t connections_{0};  ///< to the database, when the last heartbeat was sent
  bool nothing_due_{false};       ///< the last claim got less than it asked for
  int claims_in_vain_{};          ///< of a batch, in a row, while something was due
  bool database_away_{false};

  mutable Mutex mutex_{};
  std::condition_variable_any news_{};
  Tally tally_ CSRQ_GUARDED_BY(mutex_){};
  int stepping_ CSRQ_GUARDED_BY(mutex_){0};             ///< threads that are in a step
  bool closing_ CSRQ_GUARDED_BY(mutex_){false};         ///< the coordinating thread waits for the last step
  bool news_came_ CSRQ_GUARDED_BY(mutex_){false};       ///< a row was finished since that thread last looked
  bool changed_ CSRQ_GUARDED_BY(mutex_){false};         ///< rows have changed since the last NOTIFY
  std::exception_ptr fatal_ CSRQ_GUARDED_BY(mutex_){};  ///< why work() or run() cannot go on
};

}  // namespace csrq::workers
