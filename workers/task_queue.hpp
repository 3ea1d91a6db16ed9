#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.hpp"
#include "issuance/task.hpp"

namespace csrq::workers {

/// Tasks by due time. Customers with due tasks take turns, so that a thousand tasks of one do not stand
/// before the single task of another. Thread-safe.
class TaskQueue {
 public:
  using Clock = std::chrono::steady_clock;

  /// After close(), the task is dropped: its lease is given back with the others.
  void put(std::unique_ptr<issuance::Task> task, Clock::time_point due);
  std::vector<store::Fence> waiting();
  /// Makes those of these tasks that wait here due at once.
  void hasten(const std::vector<store::Fence>& fences);
  /// Waits for a task to become due. Of one customer's tasks the first due comes first. Null once closed.
  std::unique_ptr<issuance::Task> take();
  /// Ends every take(), now and later. What is still in here is dropped.
  void close();

 private:
  struct Entry {
    Clock::time_point due{};
    std::uint64_t number{};  ///< equal due times: first in, first out
    std::unique_ptr<issuance::Task> task{};
  };
  using Tasks = std::deque<std::unique_ptr<issuance::Task>>;

  static bool later(const Entry& left, const Entry& right);
  void call_due() CSRQ_REQUIRES(mutex_);
  std::unique_ptr<issuance::Task> next_in_turn() CSRQ_REQUIRES(mutex_);

  Mutex mutex_{};
  // Of all waiting threads only one, the leader, waits for the first due time; the others need no wake-up for
  // it.
  std::condition_variable_any leader_{};
  std::condition_variable_any followers_{};
  bool has_leader_ CSRQ_GUARDED_BY(mutex_){false};
  bool closed_ CSRQ_GUARDED_BY(mutex_){false};
  std::uint64_t next_number_ CSRQ_GUARDED_BY(mutex_){0};
  std::vector<Entry> heap_ CSRQ_GUARDED_BY(mutex_){};            ///< the waiting room
  std::map<std::string, Tasks> due_ CSRQ_GUARDED_BY(mutex_){};   ///< by customer; none is empty
  std::deque<std::string> customers_ CSRQ_GUARDED_BY(mutex_){};  ///< of due_, in turn
};

}  // namespace csrq::workers
