#pragma once

#include <mutex>

#include "base/time.hpp"

namespace csrq::issuance {

/// How long to wait before the first look at something a CA is working on. Learned: a first look that comes
/// too early costs a request, one that comes late costs time; settles where about one first look in ten is
/// too early. Thread-safe.
class PollPace {
 public:
  Duration first_wait() const;
  /// What a first look after first_wait() found.
  void learn(bool was_done);

 private:
  mutable std::mutex mutex_;
  Duration wait_{std::chrono::milliseconds(500)};
  bool settled_{false};
};

/// The wait before the next look at something that a CA has been working on for so long: half as long again,
/// an hour at most.
Duration next_wait(Duration first_wait, Duration lasting);

}  // namespace csrq::issuance
