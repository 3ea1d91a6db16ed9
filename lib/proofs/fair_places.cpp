#include "proofs/fair_places.hpp"

#include <algorithm>

namespace csrq::proofs {
namespace {

/// Whoever has not asked for so long is as good as new.
constexpr auto remembered = std::chrono::minutes(1);

}  // namespace

FairPlaces::FairPlaces(int all) : most_per_customer_(std::max(1, all / 2)), free_(std::max(1, all)) {}

std::optional<FairPlaces::Place> FairPlaces::try_take(const std::string& customer, Clock::time_point now) {
  const Lock lock(mutex_);
  forget_idle(now);
  Share& mine = shares_[customer];
  if (mine.held >= most_per_customer_ || free_ <= ahead_of(mine, now)) {
    mine.waits_at = now;
    return std::nullopt;
  }
  --free_;
  ++mine.held;
  mine.served_at = now;
  mine.waits_at.reset();
  return std::optional<Place>(std::in_place, *this, customer);
}

/// How many others wait who were served longer ago: each of them gets a place first.
int FairPlaces::ahead_of(const Share& mine, Clock::time_point now) const {
  return static_cast<int>(std::ranges::count_if(shares_, [&](const auto& entry) {
    const Share& other = entry.second;
    return other.waits_at && now - *other.waits_at <= still_waits && other.held < most_per_customer_ &&
           other.served_at < mine.served_at;
  }));
}

void FairPlaces::forget_idle(Clock::time_point now) {
  std::erase_if(shares_, [now](const auto& entry) {
    const Share& share = entry.second;
    return share.held == 0 &&
           now - std::max(share.served_at, share.waits_at.value_or(share.served_at)) > remembered;
  });
}

void FairPlaces::give_back(const std::string& customer) {
  const Lock lock(mutex_);
  ++free_;
  --shares_.at(customer).held;
}

}  // namespace csrq::proofs
