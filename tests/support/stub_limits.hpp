#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>

#include "support/stub_faults.hpp"

namespace csrq::test {

/// What a CA's load balancer lets through: a token bucket of one second for each class of endpoints.
/// Thread-safe.
class StubLimits {
 public:
  /// `kind`: directory, new_nonce, new_account, new_order or revoke; any other stands for all others
  /// together.
  void set(StubRequest kind, int per_second);
  /// False: the request is one too many. Counted.
  bool admits(StubRequest kind);
  std::uint64_t turned_away() const;

 private:
  using Clock = std::chrono::steady_clock;
  struct Bucket {
    double per_second{};
    double tokens{};
    Clock::time_point at{};
  };

  mutable std::mutex mutex_{};
  std::map<StubRequest, Bucket> buckets_{};
  std::uint64_t turned_away_{};
};

}  // namespace csrq::test
