#pragma once

#include <cstddef>
#include <deque>
#include <map>
#include <string>

#include "base/mutex.hpp"
#include "base/time.hpp"

namespace csrq::cas {

/// How long to wait before the first look at something that a CA is working on. The wait is learned: a look
/// that comes too early costs a request, one that comes late costs time. It comes to rest where about one
/// first look in ten is too early.
///
/// Each customer has a pace of its own, since its names may validate slowly, or never. A customer without one
/// begins with the common pace. The common pace hears of a customer again only when it has heard of 32
/// others, so no customer moves it alone. Thread-safe.
class PollPace {
 public:
  Duration first_wait(const std::string& customer) const;
  /// What a first look after first_wait() found.
  void learn(const std::string& customer, bool was_done);

 private:
  struct Pace {
    Duration wait{std::chrono::milliseconds(500)};
    bool was_too_early{false};

    void learn(bool was_done);
  };
  using Paces = std::map<std::string, Pace>;

  const Pace& pace_of(const std::string& customer) const CSRQ_REQUIRES(mutex_);

  mutable Mutex mutex_{};
  Pace common_ CSRQ_GUARDED_BY(mutex_){};
  /// The last customers that the common pace has learned from.
  std::deque<std::string> heard_of_ CSRQ_GUARDED_BY(mutex_){};
  Paces own_ CSRQ_GUARDED_BY(mutex_){};
  Paces former_ CSRQ_GUARDED_BY(mutex_){};  ///< those that own_ held before it was full
};

/// The wait before the next look at something that a CA has been working on for `lasting`: `first_wait` and
/// half of `lasting`, an hour at most.
Duration next_wait(Duration first_wait, Duration lasting);

}  // namespace csrq::cas
