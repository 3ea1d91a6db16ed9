#include "workers/queue_watch.hpp"

#include <utility>

#include "base/log.hpp"

namespace csrq::workers {
namespace {

using namespace std::chrono_literals;

// A reading counts until the next one is there, however slow both are: figures are 14 seconds old at most.
constexpr Duration pause = 5s;
constexpr Duration longest_reading = 3s;
constexpr auto counts_for = 14s;
constexpr auto longest_start = 1s;

/// One try to connect a reading: the next one comes soon.
store::DatabaseOptions impatient(store::DatabaseOptions options) {
  options.patience = Duration(0);
  options.application_name = "csrq metrics";
  return options;
}

}  // namespace

QueueWatch::QueueWatch(store::DatabaseOptions database)
    : options_(impatient(std::move(database))),
      thread_([this](const std::stop_token& stop) { watch(stop); }) {
  const Lock lock(mutex_);
  changed_.wait_for(mutex_, longest_start, [this]() CSRQ_REQUIRES(mutex_) { return last_.has_value(); });
}

QueueWatch::~QueueWatch() = default;

std::optional<store::QueueDepth> QueueWatch::latest() const {
  const Lock lock(mutex_);
  if (!last_ || Clock::now() - last_->begun > counts_for) return std::nullopt;
  return last_->depth;
}

void QueueWatch::watch(const std::stop_token& stop) {
  std::optional<store::Database> database;
  while (!stop.stop_requested()) {
    const Clock::time_point begun = Clock::now();
    const std::optional<store::QueueDepth> depth = read(database);
    const Lock lock(mutex_);
    last_ = Reading{.begun = begun, .depth = depth};
    changed_.notify_all();
    changed_.wait_for(mutex_, stop, pause, [] { return false; });
  }
}

/// Nothing: the database does not say. The next reading has a new connection then.
std::optional<store::QueueDepth> QueueWatch::read(std::optional<store::Database>& database) {
  try {
    if (!database) database.emplace(options_);
    const store::QueueDepth depth = store::queue_depth(*database, longest_reading);
    failing_ = false;
    return depth;
  } catch (const std::exception& error) {
    if (!std::exchange(failing_, true))
      log::warning("the metrics are without those of the database", {{"error", error.what()}});
    database.reset();
    return std::nullopt;
  }
}

}  // namespace csrq::workers
