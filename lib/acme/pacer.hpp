#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

#include "acme/endpoint_class.hpp"
#include "base/mutex.hpp"
#include "base/time.hpp"

namespace csrq::acme {

/// Requests a second that a CA takes from one address; 0: no limit.
using RequestRates = ByEndpoint<double>;

/// What the CA with this directory has published: Let's Encrypt's figures, production and staging; no limits
/// for any other CA.
RequestRates known_rates(std::string_view directory_url);

/// Of one class of endpoints, since the process started.
struct PaceStatistics {
  Duration waited{};          ///< how long requests waited for their turn, all together
  std::uint64_t sent_away{};  ///< requests whose turn was too far away
  std::uint64_t busy{};       ///< answers with status 503
  std::uint64_t too_many{};   ///< answers with status 429
};

/// Keeps this process's requests to one CA within the CA's limits, for each class of endpoints by itself:
/// evenly spaced, at four fifths of the limit, divided by the number of workers. A class that the CA found
/// too busy goes at half of its pace, and comes back to it within some minutes. Thread-safe; nobody waits
/// here.
class Pacer {
 public:
  using Clock = std::chrono::steady_clock;

  struct Turn {
    Duration wait{};         ///< until the request may be sent
    bool is_too_far{false};  ///< no turn was taken; there may be one after `wait`
  };

  explicit Pacer(const RequestRates& limits = {}) : limits_(limits) {}

  /// Takes the next turn, if it is at most `longest_wait` away. Callers that are sent away are told to come
  /// back at different times.
  Turn take_turn(EndpointClass endpoint, Clock::time_point at);
  static constexpr Duration longest_wait = std::chrono::seconds(5);

  /// What came of a request that was sent at `sent`. `asks_to_slow_down`: the answer does so, with a
  /// Retry-After, say, and is not about an account or a name. Slows down once for all requests that were
  /// under way, or followed within a second.
  void answered(EndpointClass endpoint, int status, bool asks_to_slow_down, Clock::time_point sent,
                Clock::time_point at);

  /// Worker processes that divide the CA's limits among them, this one included; at least 1.
  void share_among(int workers);

  /// Requests a second, as the next one would find it; 0: no limit.
  double rate(EndpointClass endpoint, Clock::time_point at) const;
  PaceStatistics statistics(EndpointClass endpoint) const;

 private:
  /// How the CA was found too busy: the rate then, and what is added each second since.
  struct Slowdown {
    double rate{};
    double step{};
    Clock::time_point since{};
  };
  struct Bucket {
    Clock::time_point next{};          ///< when the next request would come if all were evenly spaced
    Clock::time_point next_visitor{};  ///< the same of those that were sent away
    std::optional<Slowdown> slowdown{};
    std::int64_t second{};  ///< the last one in which requests were sent
    int sent{};             ///< in it
    int sent_before{};      ///< in the one before
    PaceStatistics statistics{};
  };

  static Turn send_away(Bucket& bucket, Clock::time_point turn, Clock::duration spacing,
                        Clock::time_point at);
  static void count(Bucket& bucket, Clock::time_point at);
  double allowed(EndpointClass endpoint) const CSRQ_REQUIRES(mutex_);
  double rate_of(EndpointClass endpoint, Clock::time_point at) const CSRQ_REQUIRES(mutex_);
  void slow_down(EndpointClass endpoint, Clock::time_point at) CSRQ_REQUIRES(mutex_);

  const RequestRates limits_;
  mutable Mutex mutex_{};
  int workers_ CSRQ_GUARDED_BY(mutex_){1};
  ByEndpoint<Bucket> buckets_ CSRQ_GUARDED_BY(mutex_){};
};

}  // namespace csrq::acme
