#include "issuance/wait.hpp"

#include <utility>

#include "config/cas.hpp"

namespace csrq::issuance {
namespace {

Progress wait_in_memory(World& world, Task& task, Duration wait, const Failure& why,
                        Duration longest_untold) {
  WaitInMemory& waiting = task.patience.waiting;
  if (waiting.code != why.code) waiting = {.code = why.code, .since = cas::Outage::Clock::now()};
  if (CaWork::since(waiting.since) + wait > longest_untold && waiting.written != why.detail) {
    if (!store::explain_wait(world.database, task.claim.fence, why)) return Progress::dropped();
    waiting.written = why.detail;
  }
  return Progress::waiting(wait);
}

}  // namespace

Progress wait(World& world, Task& task, const Later& later, Failure why) {
  const bool has_fallback = task.place.ca && !task.place.ca->config.fallback_ca.empty();
  const Stay stay = stay_of(later, later.wait, has_fallback);
  if (stay.is_kept) {
    if (!later.needs_slot) task.place.slot = {};
    return wait_in_memory(world, task, stay.wait, why, later.longest_untold);
  }
  const bool written = store::put_off(world.database, task.claim.fence, stay.wait, &why);
  return written ? Progress::put_off(stay.wait, std::move(why)) : Progress::dropped();
}

}  // namespace csrq::issuance
