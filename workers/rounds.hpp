#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <string_view>
#include <thread>
#include <vector>

#include "base/mutex.hpp"
#include "base/time.hpp"

namespace csrq::workers {

/// A part of what a worker does again and again.
struct Chore {
  std::string_view name;
  std::function<void()> run;
};
/// A chore that fails is logged by its name. False: the database refuses it for now. Throws Unreachable if
/// the database or a CA is away.
bool do_chore(const Chore& chore);
/// One after the other; one that fails keeps no other back.
void do_each(const std::vector<Chore>& chores);

/// A chore done again and again on a thread of its own. To be the last member of whoever does it: its
/// destructor waits for the round under way.
class Rounds {
 public:
  /// Shall end soon once `stopped` says true.
  using Round = std::function<void(const std::function<bool()>& stopped)>;

  Rounds() = default;
  ~Rounds();
  Rounds(const Rounds&) = delete;
  Rounds& operator=(const Rounds&) = delete;

  /// The first round begins after a `pause`, the next a pause after its end. What a round throws is logged
  /// as `complaint`. Once at most.
  void start(Duration pause, std::string_view complaint, Round round);

 private:
  void run(Duration pause, std::string_view complaint, const Round& round);

  Mutex mutex_{};
  std::condition_variable_any stop_{};
  std::atomic<bool> stopping_{false};
  std::thread thread_{};
};

}  // namespace csrq::workers
