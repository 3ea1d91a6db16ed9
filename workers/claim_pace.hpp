#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/time.hpp"

namespace csrq::workers {

/// When a worker claims, and how many rows: in bunches, so that a worker that is nearly full does not claim
/// row by row. Knows neither the database nor the time of day.
class ClaimPace {
 public:
  using Clock = std::chrono::steady_clock;

  struct Settings {
    std::size_t capacity{};               ///< rows under way at once
    Duration poll{};                      ///< between two claims when nothing is due
    std::optional<std::int64_t> limit{};  ///< of a batch: it claims no more rows than this
  };
  explicit ClaimPace(const Settings& settings) : settings_(settings) {}

  /// How many rows to claim if `working` are under way; 0: none for now.
  std::size_t wanted(std::size_t working) const;
  /// Before this nothing is claimed.
  Clock::time_point next() const { return next_; }
  /// A batch has claimed all that it may, or all that was due.
  bool is_over() const { return settings_.limit && (nothing_due_ || claimed_ >= *settings_.limit); }
  /// After a claim that did not get all: whether to ask if anything is due. A batch does, a few times in a
  /// row, since another worker's claim may have had the turns locked at that moment.
  bool looks_again(bool got_nothing);

  /// A claim of `wanted` rows has got `got`. `more_is_due`: more than that, as far as is known.
  void claimed(std::size_t wanted, std::size_t got, bool more_is_due, Clock::time_point now);
  /// For so long it is as if nothing were due.
  void pause(Duration wait, Clock::time_point now);
  /// The claim could not be made: not before the next look.
  void postpone(Clock::time_point now) { next_ = now + settings_.poll; }
  /// There may be something to claim.
  void hurry() { next_ = {}; }

 private:
  Settings settings_;
  Clock::time_point next_{};
  std::int64_t claimed_{};
  bool nothing_due_{false};  ///< the last claim got less than it asked for
  int looks_in_vain_{};      ///< in a row
};

}  // namespace csrq::workers
