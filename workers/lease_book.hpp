#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <vector>

#include "base/mutex.hpp"
#include "base/time.hpp"
#include "store/ids.hpp"
#include "store/jobs.hpp"

namespace csrq::workers {

/// The leases this process holds, for the heartbeat. Unknown ones are passed over. Thread-safe.
class LeaseBook {
 public:
  using Clock = std::chrono::steady_clock;

  void add(const store::Fence& fence);
  void remove(const store::Fence& fence);
  /// The database says that these leases are lost, or that their rows were cancelled.
  void mark_dropped(const std::vector<store::Fence>& fences);
  bool is_dropped(const store::Fence& fence) const;
  /// csrq.retry() was called for these.
  void mark_retried(const std::vector<store::RetryWish>& wishes);
  bool is_retried(const store::Fence& fence) const;
  /// What mark_retried() said of it, once.
  std::optional<store::RetryWish> take_retry(const store::Fence& fence);
  /// Somebody has its row locked. `has_task`: its task waits for that. False: it is known already.
  bool mark_locked(const store::Fence& fence, bool has_task);
  void mark_unlocked(const store::Fence& fence);
  std::vector<store::Fence> locked_without_task() const;
  std::vector<store::Fence> leases() const;
  std::size_t size() const;
  /// The leases whose rows have been locked for this long.
  std::size_t count_locked(Duration at_least = {}) const;

 private:
  struct Lease {
    bool is_dropped{};
    std::optional<store::RetryWish> retry{};
    std::optional<Clock::time_point> locked_since{};
    bool has_task{true};
  };
  template <typename Condition>
  std::vector<store::Fence> those(Condition condition) const;

  mutable Mutex mutex_{};
  std::map<store::Fence, Lease> leases_ CSRQ_GUARDED_BY(mutex_){};
};

}  // namespace csrq::workers
