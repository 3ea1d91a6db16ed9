#include "workers/claim_pace.hpp"

#include <algorithm>

namespace csrq::workers {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t largest_claim = 256;
/// How soon room for a customer's next rows is looked for.
constexpr Duration soon = 100ms;
constexpr int most_looks_in_vain = 10;

}  // namespace

std::size_t ClaimPace::wanted(std::size_t working) const {
  if (working >= settings_.capacity || is_over()) return 0;
  const std::size_t room = settings_.capacity - working;
  if (working > 0 && room < std::max<std::size_t>(1, settings_.capacity / 8)) return 0;
  const std::size_t wanted = std::min(room, largest_claim);
  return settings_.limit ? std::min(wanted, static_cast<std::size_t>(*settings_.limit - claimed_)) : wanted;
}

bool ClaimPace::looks_again(bool got_nothing) {
  if (!settings_.limit || looks_in_vain_ >= most_looks_in_vain) return false;
  looks_in_vain_ = got_nothing ? looks_in_vain_ + 1 : 0;
  return true;
}

void ClaimPace::claimed(std::size_t wanted, std::size_t got, bool more_is_due, Clock::time_point now) {
  claimed_ += static_cast<std::int64_t>(got);
  nothing_due_ = got < wanted && !more_is_due;
  if (got == wanted) return hurry();
  next_ = now + (more_is_due ? std::min(settings_.poll, soon) : settings_.poll);
}

void ClaimPace::pause(Duration wait, Clock::time_point now) {
  nothing_due_ = true;
  next_ = now + std::min(wait, settings_.poll);
}

}  // namespace csrq::workers
