#include "issuance/renewal_time.hpp"

namespace csrq::issuance {

Time renewal_time(Time not_before, Time not_after, double at_remaining, double jitter) {
  constexpr auto short_lived = std::chrono::hours(24 * 10);
  constexpr double spread = 0.05;
  const Duration lifetime = not_after - not_before;
  const double remaining = lifetime < short_lived ? 0.5 : at_remaining;
  const double share = remaining + spread * jitter;
  return not_after - Duration(static_cast<Duration::rep>(static_cast<double>(lifetime.count()) * share));
}

}  // namespace csrq::issuance
