#include "workers/task_queue.hpp"

#include <algorithm>

namespace csrq::workers {

bool TaskQueue::later(const Entry& left, const Entry& right) {
  return left.due != right.due ? left.due > right.due : left.number > right.number;
}

void TaskQueue::put(std::unique_ptr<issuance::Task> task, Clock::time_point due) {
  const Lock lock(mutex_);
  if (closed_) return;
  heap_.push_back({.due = due, .number = next_number_++, .task = std::move(task)});
  std::ranges::push_heap(heap_, later);
  if (has_leader_) {
    if (heap_.front().number == next_number_ - 1) leader_.notify_one();
  } else {
    followers_.notify_one();
  }
}

std::vector<store::Fence> TaskQueue::waiting() {
  const Lock lock(mutex_);
  std::vector<store::Fence> fences;
  fences.reserve(heap_.size());
  for (const Entry& entry : heap_) fences.push_back(entry.task->claim.fence);
  for (const auto& [customer, tasks] : due_)
    for (const auto& task : tasks) fences.push_back(task->claim.fence);
  return fences;
}

void TaskQueue::hasten(const std::vector<store::Fence>& fences) {
  const Lock lock(mutex_);
  const Clock::time_point now = Clock::now();
  for (Entry& entry : heap_)
    if (std::ranges::find(fences, entry.task->claim.fence) != fences.end())
      entry.due = std::min(entry.due, now);
  std::ranges::make_heap(heap_, later);
  leader_.notify_one();
}

std::unique_ptr<issuance::Task> TaskQueue::take() {
  const Lock lock(mutex_);
  for (;;) {
    if (closed_) return nullptr;
    call_due();
    if (!customers_.empty()) return next_in_turn();
    if (heap_.empty() || has_leader_) {
      followers_.wait(mutex_);
      continue;
    }
    has_leader_ = true;
    const Clock::time_point due = heap_.front().due;  // wait_until keeps a reference, and the heap may move
    leader_.wait_until(mutex_, due);
    has_leader_ = false;
  }
}

void TaskQueue::call_due() {
  const Clock::time_point now = Clock::now();
  while (!heap_.empty() && heap_.front().due <= now) {
    std::ranges::pop_heap(heap_, later);
    std::unique_ptr<issuance::Task> task = std::move(heap_.back().task);
    heap_.pop_back();
    auto& tasks = due_[task->claim.customer];
    if (tasks.empty()) customers_.push_back(task->claim.customer);
    tasks.push_back(std::move(task));
  }
}

std::unique_ptr<issuance::Task> TaskQueue::next_in_turn() {
  const auto its_turn = due_.find(customers_.front());
  customers_.pop_front();
  std::unique_ptr<issuance::Task> task = std::move(its_turn->second.front());
  its_turn->second.pop_front();
  if (its_turn->second.empty())
    due_.erase(its_turn);
  else
    customers_.push_back(task->claim.customer);
  if ((!customers_.empty() || !heap_.empty()) && !has_leader_) followers_.notify_one();
  return task;
}

void TaskQueue::close() {
  const Lock lock(mutex_);
  closed_ = true;
  heap_.clear();
  due_.clear();
  customers_.clear();
  leader_.notify_all();
  followers_.notify_all();
}

}  // namespace csrq::workers
