#include "store/database.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <future>
#include <iterator>
#include <thread>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "base/mutex.hpp"
#include "store/session.hpp"

namespace csrq::store {
namespace {

// One that fails has all the others replayed, and nobody waits for more than these.
constexpr std::size_t largest_batch = 100;

struct Call {
  const Work* work{};
  bool is_alone{};
  std::promise<void> done{};
};

}  // namespace

struct Database::Thread {
  explicit Thread(DatabaseOptions options) : session(std::move(options)), thread([this] { loop(); }) {}

  ~Thread() {
    {
      const Lock lock(mutex);
      stopping = true;
    }
    handed_in.notify_one();
    thread.join();
  }

  std::future<void> hand_in(const Work& work, bool is_alone) {
    Call call{&work, is_alone, {}};
    auto done = call.done.get_future();
    {
      const Lock lock(mutex);
      queue.push_back(std::move(call));
      ++calls;
    }
    handed_in.notify_one();
    return done;
  }

  std::vector<Call> next_batch() {
    const Lock lock(mutex);
    while (!stopping && queue.empty()) handed_in.wait(mutex);
    auto end = queue.begin() + static_cast<std::ptrdiff_t>(std::min(queue.size(), largest_batch));
    if (const auto alone = std::find_if(queue.begin(), end, [](const Call& call) { return call.is_alone; });
        alone != end)
      end = std::max(alone, std::next(queue.begin()));
    std::vector<Call> batch(std::make_move_iterator(queue.begin()), std::make_move_iterator(end));
    queue.erase(queue.begin(), end);
    return batch;
  }

  void loop() {
    for (auto batch = next_batch(); !batch.empty(); batch = next_batch()) run_together(batch);
  }

  void run_together(std::vector<Call>& batch) {
    std::vector<const Work*> works;
    works.reserve(batch.size());
    for (const Call& call : batch) works.push_back(call.work);
    try {
      commit(works);
      for (Call& call : batch) call.done.set_value();
    } catch (const Unreachable&) {  // one that may be tried again was alone: a batch is replayed instead
      for (Call& call : batch) call.done.set_exception(std::current_exception());
    } catch (...) {
      if (batch.size() == 1) return batch.front().done.set_exception(std::current_exception());
      run_one_by_one(batch);
    }
  }

  void run_one_by_one(std::vector<Call>& batch) {
    std::exception_ptr unreachable;
    for (Call& call : batch) {
      try {
        if (unreachable) std::rethrow_exception(unreachable);
        commit({call.work});
        call.done.set_value();
      } catch (const TryAgain&) {
        call.done.set_exception(std::current_exception());
      } catch (const Unreachable&) {
        unreachable = std::current_exception();
        call.done.set_exception(unreachable);
      } catch (...) {
        call.done.set_exception(std::current_exception());
      }
    }
  }

  void commit(const std::vector<const Work*>& works) {
    session.transact(works);
    ++commits;
  }

  Session session;
  Mutex mutex{};
  std::condition_variable_any handed_in{};
  std::deque<Call> queue CSRQ_GUARDED_BY(mutex){};
  bool stopping CSRQ_GUARDED_BY(mutex){false};
  std::atomic<std::uint64_t> calls{};
  std::atomic<std::uint64_t> commits{};
  std::thread thread;
};

Database::Database(DatabaseOptions options) : thread_(std::make_unique<Thread>(std::move(options))) {}
Database::~Database() = default;

void Database::run(const Work& work) {
  thread_->hand_in(work, false).get();
}

void Database::run_alone(const Work& work) {
  thread_->hand_in(work, true).get();
}

DatabaseStatistics Database::statistics() const {
  return {thread_->calls, thread_->commits, thread_->session.connections()};
}

std::optional<Duration> Database::since_promotion() const {
  return thread_->session.since_promotion();
}

}  // namespace csrq::store
