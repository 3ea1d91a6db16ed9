#include "issuance/poll_pace.hpp"

#include <algorithm>

namespace csrq::issuance {
namespace {

using namespace std::chrono_literals;
constexpr Duration shortest = 10ms;
constexpr Duration longest = 10s;

Duration scaled(Duration duration, double factor) {
  return std::chrono::duration_cast<Duration>(
      std::chrono::duration<double, std::micro>(static_cast<double>(duration.count()) * factor));
}

}  // namespace

Duration PollPace::first_wait() const {
  const std::scoped_lock lock(mutex_);
  return wait_;
}

void PollPace::learn(bool was_done) {
  const std::scoped_lock lock(mutex_);
  if (!was_done) settled_ = true;
  const double factor = was_done ? (settled_ ? 0.97 : 0.85) : 1.3;
  wait_ = std::clamp(scaled(wait_, factor), shortest, longest);
}

Duration next_wait(Duration first_wait, Duration lasting) {
  return std::min<Duration>(std::max(first_wait, shortest) + lasting / 2, 1h);
}

}  // namespace csrq::issuance
