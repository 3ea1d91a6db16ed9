#pragma once

#include <chrono>
#include <optional>

#include "acme/authorization.hpp"
#include "base/error.hpp"
#include "base/time.hpp"

namespace csrq::issuance {

/// While a CA is at work on challenges, csrq reads an order's authorizations again no more often than this.
inline constexpr Duration between_readings = std::chrono::seconds(30);

/// What a CA is at work on for a row: the challenges of its order, or, once finalize was sent, the order.
struct CaWork {
  using Clock = std::chrono::steady_clock;

  /// Since it was told first that the responses are in place, or finalize was sent: by any worker.
  std::optional<Clock::time_point> asked_at{};
  std::optional<Clock::time_point> read_at{};  ///< the authorizations, by this task
  std::optional<Clock::time_point> told_at{};  ///< that responses are in place, by this task, last
  std::optional<Failure> noted{};  ///< what the CA says of challenges with which it goes on all the same
  bool asks_anew{};                ///< csrq.retry() was called: it is asked once more

  std::optional<Duration> told_ago() const { return told_at ? std::optional(since(*told_at)) : std::nullopt; }
  Duration lasting() const { return asked_at ? since(*asked_at) : Duration::zero(); }
  static Duration since(Clock::time_point at) { return std::chrono::floor<Duration>(Clock::now() - at); }
};

/// Whether to tell the CA that the response to a challenge is in place: it has not been told, may have lost
/// what it was told, or has found an error and goes by another answer (RFC 8555 §8.2). A challenge that it
/// may be looking at just now is left alone.
bool wants_answer(const acme::Challenge& challenge, const CaWork& work);

}  // namespace csrq::issuance
