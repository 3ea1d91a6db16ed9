#include "workers/rounds.hpp"

#include <utility>

#include "base/error.hpp"
#include "base/log.hpp"

namespace csrq::workers {

bool do_chore(const Chore& chore) {
  try {
    chore.run();
  } catch (const TryAgain& error) {
    log::warning("the database refuses a chore for now; tried again",
                 {{"chore", chore.name}, {"error", error.what()}});
    return false;
  } catch (const Unreachable&) {
    throw;
  } catch (const std::exception& error) {
    log::error("a chore could not be done; tried again", {{"chore", chore.name}, {"error", error.what()}});
  }
  return true;
}

void do_each(const std::vector<Chore>& chores) {
  for (const Chore& chore : chores) do_chore(chore);
}

Rounds::~Rounds() {
  {
    const Lock lock(mutex_);
    stopping_ = true;
  }
  stop_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Rounds::start(Duration pause, std::string_view complaint, Round round) {
  thread_ = std::thread([this, pause, complaint, round = std::move(round)] { run(pause, complaint, round); });
}

void Rounds::run(Duration pause, std::string_view complaint, const Round& round) {
  const Lock lock(mutex_);
  while (!stop_.wait_for(mutex_, pause, [this] { return stopping_.load(); })) {
    const Unlock unlocked(mutex_);
    try {
      round([this] { return stopping_.load(); });
    } catch (const std::exception& error) {
      log::warning(complaint, {{"error", error.what()}});
    }
  }
}

}  // namespace csrq::workers
