#include "workers/step_pool.hpp"

#include <algorithm>
#include <chrono>

#include "base/error.hpp"
#include "base/log.hpp"
#include "issuance/step.hpp"

namespace csrq::workers {
namespace {

using namespace std::chrono_literals;

/// A task whose step the database did not let end is tried again after this, doubled each time: the step may
/// have got as far as the CA.
constexpr auto step_retry = 5s;
constexpr auto longest_step_retry = 1min;
/// A heartbeat of this process, or a csrq.retry(), has a row locked for a moment; whoever has it longer
/// is not waited for.
constexpr auto moment_of_a_lock = 100ms;

void try_later(TaskQueue& queue, std::unique_ptr<issuance::Task> task) {
  const Duration wait =
      std::min<Duration>(step_retry * (1 << std::min(task->patience.unwritten, 8)), longest_step_retry);
  ++task->patience.unwritten;
  queue.put(std::move(task), TaskQueue::Clock::now() + wait);
}

}  // namespace

StepPool::StepPool(issuance::World& world, store::Database& database, TaskQueue& queue, LeaseBook& leases,
                   StepEvents events)
    : world_(world), database_(database), queue_(queue), leases_(leases), events_(std::move(events)) {}

StepPool::~StepPool() {
  queue_.close();
}

void StepPool::start(std::size_t threads) {
  {
    const Lock lock(mutex_);
    running_ = threads;
  }
  for (std::size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { step_tasks(); });
}

bool StepPool::wait_for_end(Duration at_most) {
  const Lock lock(mutex_);
  return ended_.wait_for(mutex_, at_most, [this]() CSRQ_REQUIRES(mutex_) { return running_ == 0; });
}

void StepPool::step_tasks() {
  while (std::unique_ptr<issuance::Task> task = queue_.take()) step(std::move(task));
  const Lock lock(mutex_);
  --running_;
  ended_.notify_all();
}

void StepPool::step(std::unique_ptr<issuance::Task> task) {
  if (const std::optional<store::RetryWish> wish = leases_.take_retry(task->claim.fence))
    task->retry(wish->asks_anew);
  try {
    using Progress = issuance::Progress;
    const Progress progress =
        leases_.is_dropped(task->claim.fence) ? Progress::dropped() : issuance::advance(world_, *task);
    if (progress.kind == Progress::Kind::waiting) return go_on(std::move(task), progress.wait);
    if (progress.kind == Progress::Kind::dropped) drop(*task);
    leases_.remove(task->claim.fence);
    events_.finished(*task, progress);
  } catch (const store::RowLocked&) {
    wait_for_lock(std::move(task));
  } catch (const TryAgain& error) {
    log::warning("a step waits for the database", {{"request", task->request()}, {"error", error.what()}});
    try_later(queue_, std::move(task));
  } catch (const Unreachable&) {
    events_.unreachable();
    try_later(queue_, std::move(task));
  } catch (const std::exception& error) {
    log::error("what became of a step could not be written down; it will be tried again",
               {{"request", task->request()}, {"error", error.what()}});
    try_later(queue_, std::move(task));
  }
}

void StepPool::go_on(std::unique_ptr<issuance::Task> task, Duration wait) {
  const store::Fence fence = task->claim.fence;
  task->patience.locked_looks = 0;
  leases_.mark_unlocked(fence);
  queue_.put(std::move(task), TaskQueue::Clock::now() + wait);
  if (leases_.is_retried(fence)) queue_.hasten({fence});
}

/// Cancelled, or another worker's by now. Or the database has lost what this one knows of the row: then an
/// order may be at the CA that nobody else has heard of.
void StepPool::drop(const issuance::Task& task) {
  if (store::drop_cancelled(database_, task.claim.fence)) return;
  const std::string url = task.order.url();
  if (!url.empty() && !store::unknown_orders(database_, {url}).empty())
    log::warning("the database has lost an order that is at the CA; it is looked for there",
                 {{"request", task.request()}, {"order", url}});
}

/// However many rows somebody has locked, they cost no more than their numbers: the task goes, and the row is
/// given back when it is free. Only one that knows what no database knows, an order that was just made, is
/// kept.
void StepPool::wait_for_lock(std::unique_ptr<issuance::Task> task) {
  const TaskQueue::Clock::time_point now = TaskQueue::Clock::now();
  task->place.slot = {};
  if (task->patience.locked_looks++ == 0) return queue_.put(std::move(task), now + moment_of_a_lock);
  const bool is_kept = task->order.unrecorded.has_value();
  if (leases_.mark_locked(task->claim.fence, is_kept))
    log::info("an open transaction has a row locked; it goes on when that ends",
              {{"request", task->request()}, {"customer", task->claim.customer}});
  if (is_kept) queue_.put(std::move(task), now + step_retry);
  events_.locked();
}

}  // namespace csrq::workers
