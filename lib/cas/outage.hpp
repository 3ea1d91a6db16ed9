#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "base/mutex.hpp"
#include "base/time.hpp"

namespace csrq::cas {

/// Whether a CA is out of reach, as this process has found: two requests in a row got no answer. The second
/// was sent after the first had failed, since one cut connection may end many requests. While the CA is out
/// of reach, nothing is sent there until a pause is over. The pause doubles from 5 s to 5 min. Thread-safe.
class Outage {
 public:
  using Clock = std::chrono::steady_clock;

  /// A request that was sent at `sent` got no answer. True: the CA was thought to be in reach, and is not.
  /// `cause`: a sentence, if there is one.
  bool failed(Clock::time_point sent, Clock::time_point at, const std::string& cause = {});
  /// A request got an answer. True: the CA was thought to be out of reach.
  bool answered(Clock::time_point at);
  bool answered_since(Clock::time_point at) const;
  bool is_out() const;
  /// Since when no request has got an answer, and why; nothing if the CA is in reach, or nobody has asked it
  /// for a quarter of an hour.
  struct Silence {
    Duration lasting{};
    std::string cause{};
  };
  std::optional<Silence> silence(Clock::time_point at) const;
  /// How long nothing shall be sent; nothing if the CA is in reach, or it is time to look again.
  std::optional<Duration> remaining(Clock::time_point at) const;

 private:
  mutable Mutex mutex_{};
  /// Since the first request without an answer.
  std::optional<Clock::time_point> suspected_ CSRQ_GUARDED_BY(mutex_){};
  int failures_ CSRQ_GUARDED_BY(mutex_){0};
  Clock::time_point last_failure_ CSRQ_GUARDED_BY(mutex_){};
  std::string cause_ CSRQ_GUARDED_BY(mutex_){};
  Clock::time_point until_ CSRQ_GUARDED_BY(mutex_){};
  std::optional<Clock::time_point> last_answer_ CSRQ_GUARDED_BY(mutex_){};
};

}  // namespace csrq::cas
