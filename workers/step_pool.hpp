#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "base/mutex.hpp"
#include "issuance/progress.hpp"
#include "issuance/world.hpp"
#include "workers/lease_book.hpp"
#include "workers/task_queue.hpp"

namespace csrq::workers {

/// What the threads tell. Callable from any thread.
struct StepEvents {
  /// The worker is done with the row for now, and its lease is out of the book.
  std::function<void(const issuance::Task&, const issuance::Progress&)> finished{};
  /// Somebody's open transaction has the row locked: it takes up no room until that ends.
  std::function<void()> locked{};
  /// The database is away (std::current_exception()). The task waits for it.
  std::function<void()> unreachable{};
};

/// Takes tasks from the queue through their steps, each on one of some threads. A task whose step ends with a
/// wait goes back into the queue.
class StepPool {
 public:
  /// All must outlive this. `database`: for the steps.
  StepPool(issuance::World& world, store::Database& database, TaskQueue& queue, LeaseBook& leases,
           StepEvents events);
  /// Closes the queue, and waits for the steps under way.
  ~StepPool();
  StepPool(const StepPool&) = delete;
  StepPool& operator=(const StepPool&) = delete;

  void start(std::size_t threads);
  /// True once no step is under way and none will begin: the queue was closed. Waits for that, at most for so
  /// long.
  bool wait_for_end(Duration at_most);

 private:
  void step_tasks();
  void step(std::unique_ptr<issuance::Task> task);
  void go_on(std::unique_ptr<issuance::Task> task, Duration wait);
  void drop(const issuance::Task& task);
  void wait_for_lock(std::unique_ptr<issuance::Task> task);

  issuance::World& world_;
  store::Database& database_;
  TaskQueue& queue_;
  LeaseBook& leases_;
  StepEvents events_;

  Mutex mutex_{};
  std::condition_variable_any ended_{};
  std::size_t running_ CSRQ_GUARDED_BY(mutex_){0};  ///< threads that have not ended
  std::vector<std::jthread> threads_{};
};

}  // namespace csrq::workers
