#pragma once

#include <chrono>
#include <condition_variable>
#include <optional>
#include <stop_token>
#include <thread>

#include "base/mutex.hpp"
#include "store/database.hpp"
#include "store/requests.hpp"

namespace csrq::workers {

/// Reads the depth of the queue every few seconds, on a thread and a connection of its own: whoever asks
/// never waits for the database.
class QueueWatch {
 public:
  /// Waits for the first reading, for a second at most.
  explicit QueueWatch(store::DatabaseOptions database);
  ~QueueWatch();
  QueueWatch(const QueueWatch&) = delete;
  QueueWatch& operator=(const QueueWatch&) = delete;

  /// As it was at most 15 seconds ago. Nothing: the database has not said since.
  std::optional<store::QueueDepth> latest() const;

 private:
  using Clock = std::chrono::steady_clock;
  struct Reading {
    Clock::time_point begun{};
    std::optional<store::QueueDepth> depth{};
  };

  void watch(const std::stop_token& stop);
  std::optional<store::QueueDepth> read(std::optional<store::Database>& database);

  const store::DatabaseOptions options_;
  mutable Mutex mutex_{};
  std::condition_variable_any changed_{};
  std::optional<Reading> last_ CSRQ_GUARDED_BY(mutex_){};
  bool failing_{false};  ///< of the watching thread
  std::jthread thread_{};
};

}  // namespace csrq::workers
