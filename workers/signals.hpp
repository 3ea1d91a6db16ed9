#pragma once

#include <functional>
#include <thread>

namespace csrq::workers {

/// Turns SIGINT, SIGTERM and SIGHUP into calls on a thread of its own. Make it before any other thread, so
/// that all of them inherit the blocked signals. A second SIGINT or SIGTERM ends the process at once: leases
/// are then left to other workers.
class Signals {
 public:
  /// Either may be empty; its signal is then ignored.
  Signals(std::function<void()> on_stop, std::function<void()> on_reload);
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

 private:
  void wait_for_signals();

  std::function<void()> on_stop_;
  std::function<void()> on_reload_;
  std::thread thread_;
};

}  // namespace csrq::workers
