#pragma once

#include <chrono>

#include "base/time.hpp"

namespace csrq::issuance {

/// Waits up to this long are spent in memory, with the lease kept; longer ones in the queue.
inline constexpr Duration longest_leased_wait = std::chrono::minutes(1);
/// A wait in memory up to this needs no word in the row.
inline constexpr Duration a_moment = std::chrono::seconds(10);
/// A row whose CA has a fallback is looked at this often, however long its CA lets it wait.
inline constexpr Duration longest_wait_before_fallback = std::chrono::hours(1);

/// How a row waits, however long that turns out to be. By default: in memory if it is short, else in the
/// queue.
struct Later {
  Duration wait{};                             ///< at least
  Duration longest_kept{longest_leased_wait};  ///< the worker keeps the row for so long
  Duration longest_untold{a_moment};           ///< a row that is kept for longer says why
  Duration shortest_put_off{};                 ///< in the queue it waits at least so long
  bool needs_slot{true};                       ///< false: while it is kept, others may use its slot at the CA

  /// In the queue, however short the wait: its reason is to be read, csrq.retry() ends it, and others get the
  /// place.
  static Later put_off(Duration wait) { return {.wait = wait, .longest_kept = Duration(-1)}; }
};

/// Where a row waits, and for how long.
struct Stay {
  bool is_kept{};  ///< by its worker, leased; else it is back in the queue
  Duration wait{};
};

/// Pure. `wait`: how long it is, now that this is known. `has_fallback`: its CA has one.
Stay stay_of(const Later& later, Duration wait, bool has_fallback);

}  // namespace csrq::issuance
