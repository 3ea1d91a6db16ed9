#pragma once

#include <condition_variable>
#include <functional>
#include <stop_token>
#include <utility>

#include "base/mutex.hpp"
#include "base/time.hpp"

namespace csrq::app {

/// Connects a signal, which may come at any time, with whatever is to be stopped at that time. Thread-safe.
class StopSwitch {
 public:
  void stop() {
    const Lock lock(mutex_);
    stopped_ = true;
    source_.request_stop();
    news_.notify_all();
    if (action_) action_();
  }
  bool stopped() const {
    const Lock lock(mutex_);
    return stopped_;
  }
  std::stop_token token() const { return source_.get_token(); }
  /// `action` runs at stop(), at once if that has been. An empty one disconnects.
  void connect(std::function<void()> action) {
    const Lock lock(mutex_);
    action_ = std::move(action);
    if (stopped_ && action_) action_();
  }
  /// Returns after stop(), or `longest`: whether it is stopped.
  bool wait_for(Duration longest) {
    const Lock lock(mutex_);
    return news_.wait_for(mutex_, longest, [this]() CSRQ_REQUIRES(mutex_) { return stopped_; });
  }

 private:
  mutable Mutex mutex_{};
  std::condition_variable_any news_{};
  bool stopped_ CSRQ_GUARDED_BY(mutex_){false};
  std::stop_source source_{};
  std::function<void()> action_ CSRQ_GUARDED_BY(mutex_){};
};

}  // namespace csrq::app
