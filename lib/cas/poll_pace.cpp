#include "cas/poll_pace.hpp"

#include <algorithm>
#include <utility>

namespace csrq::cas {
namespace {

using namespace std::chrono_literals;
constexpr Duration shortest = 10ms;
constexpr Duration longest = 10s;
constexpr std::size_t most_heard_of = 32;
/// Beside as many that are about to be forgotten.
constexpr std::size_t most_customers = 5'000;

Duration scaled(Duration duration, double factor) {
  return std::chrono::duration_cast<Duration>(
      std::chrono::duration<double, std::micro>(static_cast<double>(duration.count()) * factor));
}

}  // namespace

void PollPace::Pace::learn(bool was_done) {
  if (!was_done) was_too_early = true;
  const double factor = was_done ? (was_too_early ? 0.97 : 0.85) : 1.3;
  wait = std::clamp(scaled(wait, factor), shortest, longest);
}

const PollPace::Pace& PollPace::pace_of(const std::string& customer) const {
  if (const auto found = own_.find(customer); found != own_.end()) return found->second;
  if (const auto found = former_.find(customer); found != former_.end()) return found->second;
  return common_;
}

Duration PollPace::first_wait(const std::string& customer) const {
  const Lock lock(mutex_);
  return pace_of(customer).wait;
}

void PollPace::learn(const std::string& customer, bool was_done) {
  const Lock lock(mutex_);
  Pace pace = pace_of(customer);
  pace.learn(was_done);
  if (own_.size() == most_customers && !own_.contains(customer)) former_ = std::exchange(own_, {});
  own_[customer] = pace;
  if (std::ranges::find(heard_of_, customer) != heard_of_.end()) return;
  common_.learn(was_done);
  heard_of_.push_back(customer);
  if (heard_of_.size() > most_heard_of) heard_of_.pop_front();
}

Duration next_wait(Duration first_wait, Duration lasting) {
  return std::min<Duration>(std::max(first_wait, shortest) + lasting / 2, 1h);
}

}  // namespace csrq::cas
