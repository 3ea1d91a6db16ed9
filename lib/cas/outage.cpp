#include "cas/outage.hpp"

#include <algorithm>

namespace csrq::cas {
namespace {

using namespace std::chrono_literals;
constexpr auto shortest_pause = 5s;
constexpr auto longest_pause = 300s;
constexpr auto old_news = 3 * longest_pause;

}  // namespace

bool Outage::failed(Clock::time_point sent, Clock::time_point at, const std::string& cause) {
  const Lock lock(mutex_);
  last_failure_ = at;
  if (!cause.empty()) cause_ = cause;
  if (!suspected_) {
    suspected_ = at;
    return false;
  }
  if (sent < *suspected_ || at < until_) return false;  // one of many requests that were under way
  constexpr int most_doublings = 6;
  const auto pause =
      std::min<Clock::duration>(shortest_pause * (1 << std::min(failures_, most_doublings)), longest_pause);
  until_ = at + pause;
  return failures_++ == 0;
}

bool Outage::answered_since(Clock::time_point at) const {
  const Lock lock(mutex_);
  return last_answer_ && *last_answer_ > at;
}

bool Outage::answered(Clock::time_point at) {
  const Lock lock(mutex_);
  last_answer_ = at;
  const bool was_out = failures_ > 0;
  suspected_.reset();
  failures_ = 0;
  cause_.clear();
  until_ = {};
  return was_out;
}

bool Outage::is_out() const {
  const Lock lock(mutex_);
  return failures_ > 0;
}

std::optional<Outage::Silence> Outage::silence(Clock::time_point at) const {
  const Lock lock(mutex_);
  if (failures_ == 0 || at - last_failure_ > old_news) return std::nullopt;
  return Silence{.lasting = std::chrono::floor<Duration>(at - *suspected_), .cause = cause_};
}

std::optional<Duration> Outage::remaining(Clock::time_point at) const {
  const Lock lock(mutex_);
  if (failures_ == 0 || at >= until_) return std::nullopt;
  return std::chrono::ceil<Duration>(until_ - at);
}

}  // namespace csrq::cas
