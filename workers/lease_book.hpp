#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <vector>

#include "store/ids.hpp"
#include "store/jobs.hpp"

namespace csrq::workers {

/// The leases this process holds, for the heartbeat. Thread-safe.
class LeaseBook {
 public:
  void add(const store::Fence& fence);
  void remove(const store::Fence& fence);
  /// The database says that these are lost or their rows cancelled; unknown ones are passed over.
  void mark_dropped(const std::vector<store::Fence>& fences);
  bool is_dropped(const store::Fence& fence) const;
  /// csrq.retry() was called for these; unknown ones are passed over.
  void mark_retried(const std::vector<store::RetryWish>& wishes);
  bool is_retried(const store::Fence& fence) const;
  /// What mark_retried() said of it, once.
  std::optional<store::RetryWish> take_retry(const store::Fence& fence);
  std::vector<store::Fence> held() const;
  std::size_t size() const;

 private:
  struct Lease {
    bool is_dropped{};
    std::optional<store::RetryWish> retry{};
  };
  mutable std::mutex mutex_{};
  std::map<store::Fence, Lease> leases_{};
};

}  // namespace csrq::workers
