#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "base/mutex.hpp"

namespace csrq::proofs {

/// A few places that customers share, so that a customer who stays long in his place keeps nobody else from
/// one. Nobody waits here: whoever gets no place asks again within `still_waits`, or loses his turn.
/// Thread-safe.
class FairPlaces {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr auto still_waits = std::chrono::seconds(2);

  /// Taken until it is destroyed. The places outlive it.
  class Place {
   public:
    Place(FairPlaces& places, std::string customer) : places_(&places), customer_(std::move(customer)) {}
    Place(Place&& other) noexcept
        : places_(std::exchange(other.places_, nullptr)), customer_(std::move(other.customer_)) {}
    Place& operator=(Place&&) = delete;
    ~Place() {
      if (places_) places_->give_back(customer_);
    }

   private:
    FairPlaces* places_;
    std::string customer_;
  };

  /// `all`: places, at least 1. One customer gets half of them.
  explicit FairPlaces(int all);

  /// None if the customer has his share, or if the free places are for others who were served longer ago.
  std::optional<Place> try_take(const std::string& customer, Clock::time_point now = Clock::now());

 private:
  struct Share {
    int held{};
    Clock::time_point served_at{};                ///< last; the epoch: never
    std::optional<Clock::time_point> waits_at{};  ///< asked in vain
  };
  int ahead_of(const Share& mine, Clock::time_point now) const CSRQ_REQUIRES(mutex_);
  void forget_idle(Clock::time_point now) CSRQ_REQUIRES(mutex_);
  void give_back(const std::string& customer);

  const int most_per_customer_;
  Mutex mutex_{};
  int free_ CSRQ_GUARDED_BY(mutex_);
  std::map<std::string, Share> shares_ CSRQ_GUARDED_BY(mutex_){};
};

}  // namespace csrq::proofs
