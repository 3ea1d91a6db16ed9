#pragma once

#include <chrono>

#include "base/mutex.hpp"
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

  mutable Mutex mutex_{};
  Time reading_ CSRQ_GUARDED_BY(mutex_){csrq::now()};
  Steady::time_point read_at_ CSRQ_GUARDED_BY(mutex_){Steady::now()};
  bool warned_ CSRQ_GUARDED_BY(mutex_){false};
};

}  // namespace csrq::store
