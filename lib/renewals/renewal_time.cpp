#include "renewals/renewal_time.hpp"

#include <algorithm>
#include <cstdint>
#include <random>

namespace csrq::renewals {
namespace {

using namespace std::chrono_literals;

/// Earlier by 1 to 59 minutes if `at` is in the first minute of an hour.
Time off_the_hour(Time at, double jitter) {
  if (at - std::chrono::floor<std::chrono::hours>(at) >= 1min) return at;
  constexpr double thousands = 1000;
  const double finer =
      jitter * thousands - static_cast<double>(static_cast<std::int64_t>(jitter * thousands));
  return at - 1min - std::chrono::duration_cast<Duration>(finer * std::chrono::duration<double>(58min));
}

}  // namespace

Time renewal_time(Time not_before, Time not_after, double at_remaining, double jitter) {
  constexpr auto short_lived = 24h * 10;
  constexpr double spread = 0.05;
  const Duration lifetime = not_after - not_before;
  const double remaining = lifetime < short_lived ? 0.5 : at_remaining;
  const double share = remaining + std::min(spread, (1 - remaining) / 2) * jitter;
  const Time at =
      not_after - Duration(static_cast<Duration::rep>(static_cast<double>(lifetime.count()) * share));
  return lifetime > 24h ? off_the_hour(at, jitter) : at;
}

double random_share() {
  thread_local std::minstd_rand generator{std::random_device{}()};
  return std::uniform_real_distribution<>()(generator);
}

double stable_share(store::RequestId request) {
  // The finalizer of SplitMix64: every bit of the id tells on every bit of the result.
  auto mixed = static_cast<std::uint64_t>(store::number(request)) + 0x9e3779b97f4a7c15U;
  mixed = (mixed ^ (mixed >> 30U)) * 0xbf58476d1ce4e5b9U;
  mixed = (mixed ^ (mixed >> 27U)) * 0x94d049bb133111ebU;
  mixed ^= mixed >> 31U;
  constexpr unsigned to_53_bits = 11;
  return static_cast<double>(mixed >> to_53_bits) * 0x1p-53;
}

}  // namespace csrq::renewals
