#pragma once

#include <chrono>
#include <mutex>

#include "base/time.hpp"
#include "store/database.hpp"

namespace csrq::store {

/// The database's clock, by which it is decided whether something has expired or is valid. Between two
/// readings it goes on by this machine's steady clock, so it does not matter what time this machine thinks it
/// is. Before the first reading it is this machine's. Thread-safe.
class DatabaseClock {
 public:
  /// Reads it, which waits for the database. If this machine's clock is more than a minute off, that is
  /// logged, once.
  void read(Database& database);
  Time now() const;

 private:
  using Steady = std::chrono::steady_clock;

  mutable std::mutex mutex_{};
  Time reading_{csrq::now()};
  Steady::time_point read_at_{Steady::now()};
  bool warned_{false};
};

}  // namespace csrq::store
