#pragma once

#include <map>
#include <mutex>
#include <vector>

#include "store/ids.hpp"

namespace csrq::workers {

/// The leases this process holds, for the heartbeat. Thread-safe.
class LeaseBook {
 public:
  void add(const store::Fence& fence);
  void remove(const store::Fence& fence);
  /// The database says that these are lost or their rows cancelled; unknown ones are passed over.
  void mark_dropped(const std::vector<store::Fence>& fences);
  bool is_dropped(const store::Fence& fence) const;
  std::vector<store::Fence> held() const;
  std::size_t size() const;

 private:
  mutable std::mutex mutex_{};
  std::map<store::Fence, bool> leases_{};  ///< → dropped
};

}  // namespace csrq::workers
