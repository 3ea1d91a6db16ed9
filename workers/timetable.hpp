#pragma once

#include <chrono>
#include <vector>

#include "base/time.hpp"
#include "workers/rounds.hpp"

namespace csrq::workers {

/// Chores done again and again on the caller's thread, each at its own interval. One that fails keeps no
/// other back.
class Timetable {
 public:
  using Clock = std::chrono::steady_clock;

  struct Entry {
    Chore chore;
    Duration interval;
    bool is_for_leases;  ///< needless while the worker has none
    Clock::time_point next{};
  };

  /// `soon`: after this a chore comes again that the database refused for now.
  Timetable(std::vector<Entry> entries, Duration soon) : entries_(std::move(entries)), soon_(soon) {}

  /// Does what is due. Throws Unreachable if the database is away.
  void do_due(bool has_leases);
  /// When the next chore is due.
  Clock::time_point next(bool has_leases) const;

 private:
  static bool is_needed(const Entry& entry, bool has_leases) { return has_leases || !entry.is_for_leases; }

  std::vector<Entry> entries_;
  Duration soon_;
};

}  // namespace csrq::workers
