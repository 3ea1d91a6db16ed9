#include "workers/task_queue.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <thread>

#include "workers/lease_book.hpp"

using namespace std::chrono_literals;
using namespace csrq;
using namespace csrq::workers;
using Clock = TaskQueue::Clock;

namespace {

store::Fence fence(int request, int lease = 1) {
  return {
      .worker = store::WorkerId{1}, .request = store::RequestId{request}, .lease = store::LeaseNumber{lease}};
}

std::unique_ptr<issuance::Task> task(int request, const std::string& customer = {}) {
  return std::make_unique<issuance::Task>(store::Claim{.fence = fence(request), .customer = customer});
}

std::int64_t taken(TaskQueue& queue) {
  const std::unique_ptr<issuance::Task> found = queue.take();
  return found ? store::number(found->claim.fence.request) : -1;
}

}  // namespace

TEST_CASE("task queue: what is due longest comes first, equal times in the order they came") {
  TaskQueue queue;
  const Clock::time_point past = Clock::now() - 1s;
  queue.put(task(1), past + 2ms);
  queue.put(task(2), past);
  queue.put(task(3), past);
  queue.put(task(4), past + 1ms);
  CHECK(taken(queue) == 2);
  CHECK(taken(queue) == 3);
  CHECK(taken(queue) == 4);
  CHECK(taken(queue) == 1);
}

TEST_CASE("task queue: customers with tasks that are due have their turn, however many each has") {
  TaskQueue queue;
  const Clock::time_point past = Clock::now() - 1s;
  for (const int request : {1, 2, 3, 4}) queue.put(task(request, "bob"), past + request * 1ms);
  for (const int request : {11, 12}) queue.put(task(request, "alice"), past + request * 1ms);
  std::vector<std::int64_t> order;
  order.reserve(6);
  for (int i = 0; i < 6; ++i) order.push_back(taken(queue));
  CHECK(order == std::vector<std::int64_t>{1, 11, 2, 12, 3, 4});
}

TEST_CASE("task queue: nothing is taken before it is due") {
  TaskQueue queue;
  const Clock::time_point due = Clock::now() + 20ms;
  queue.put(task(1), due);
  CHECK(taken(queue) == 1);
  CHECK(Clock::now() >= due);
}

TEST_CASE("task queue: tasks that are hastened are due at once, the others wait on") {
  TaskQueue queue;
  for (const int request : {1, 2, 3}) queue.put(task(request), Clock::now() + 1h);
  queue.put(task(4), Clock::now() + 50ms);
  std::atomic<std::int64_t> first{0};
  std::thread waiting([&] { first = taken(queue); });
  queue.hasten({fence(2), fence(7), fence(3, 2)});
  waiting.join();
  CHECK(first == 2);
  CHECK(taken(queue) == 4);
}

TEST_CASE("lease book: a retry is told once, and only of a lease that is held") {
  LeaseBook book;
  book.add(fence(1));
  book.mark_retried({{.fence = fence(1), .asks_anew = true}, {.fence = fence(2), .asks_anew = true}});
  CHECK(book.is_retried(fence(1)));
  CHECK_FALSE(book.is_retried(fence(2)));
  CHECK(book.take_retry(fence(1)).value().asks_anew);
  CHECK_FALSE(book.take_retry(fence(1)));
}

TEST_CASE("task queue: a task that is due earlier overtakes one that is being waited for") {
  TaskQueue queue;
  queue.put(task(1), Clock::now() + 1h);
  std::atomic<std::int64_t> first{0};
  std::thread waiting([&] { first = taken(queue); });
  queue.put(task(2), Clock::now());
  waiting.join();
  CHECK(first == 2);
}

TEST_CASE("task queue: every waiting thread gets what is due, while one waits for what is not") {
  constexpr int threads = 8;
  constexpr int tasks = 2000;
  TaskQueue queue;
  std::atomic<int> count{0};
  std::atomic<std::int64_t> sum{0};
  std::vector<std::thread> takers;
  takers.reserve(threads);
  for (int i = 0; i < threads; ++i)
    takers.emplace_back([&] {
      for (std::int64_t request = 0; (request = taken(queue)) > 0;) {
        sum += request;
        if (++count == tasks) queue.close();
      }
    });
  for (int i = 1; i <= tasks; ++i) queue.put(task(i), Clock::now() + (i % 7) * 1ms);
  for (std::thread& taker : takers) taker.join();
  CHECK(count == tasks);
  CHECK(sum == std::int64_t{tasks} * (tasks + 1) / 2);
}

TEST_CASE("task queue: closing ends every take, now and later, and drops what is in it") {
  TaskQueue queue;
  queue.put(task(1), Clock::now() + 1h);
  std::vector<std::thread> takers;
  takers.reserve(4);
  std::atomic<int> ended{0};
  for (int i = 0; i < 4; ++i)
    takers.emplace_back([&] {
      if (!queue.take()) ++ended;
    });
  queue.close();
  for (std::thread& taker : takers) taker.join();
  CHECK(ended == 4);
  queue.put(task(2), Clock::now());
  CHECK(queue.take() == nullptr);
}

TEST_CASE("lease book: it holds what was added until it is removed") {
  LeaseBook book;
  book.add(fence(1));
  book.add(fence(2));
  CHECK(book.size() == 2);
  book.remove(fence(1));
  CHECK(book.leases() == std::vector<store::Fence>{fence(2)});
}

TEST_CASE("lease book: only held leases can be dropped, and a later lease of the same row is another") {
  LeaseBook book;
  book.add(fence(1, 7));
  book.mark_dropped({fence(1, 6), fence(2)});
  CHECK_FALSE(book.is_dropped(fence(1, 7)));
  CHECK_FALSE(book.is_dropped(fence(2)));
  CHECK(book.size() == 1);
  book.mark_dropped({fence(1, 7)});
  CHECK(book.is_dropped(fence(1, 7)));
  CHECK(book.leases().size() == 1);  // until its step has noticed
  book.remove(fence(1, 7));
  book.add(fence(1, 8));
  CHECK_FALSE(book.is_dropped(fence(1, 8)));
}
