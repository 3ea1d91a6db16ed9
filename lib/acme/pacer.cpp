#include "acme/pacer.hpp"

#include <algorithm>

#include "base/known_ca.hpp"

namespace csrq::acme {
namespace {

using namespace std::chrono_literals;
using Clock = Pacer::Clock;

/// Of a limit: other programs may use the same address, and requests bunch up on their way.
constexpr double margin = 0.8;
/// Requests that may go out at once after a pause, as a share of those of a second.
constexpr double burst_share = 0.125;
constexpr double slowest = 1;
/// From a standstill to the full rate; where there is no limit but one that was learnt, until it is
/// forgotten.
constexpr auto recovery = 600s;
/// CAs count by the second: what is sent sooner after a slow-down says nothing of its effect.
constexpr auto echo_of_slowdown = 1s;
/// Requests that a step sends, more or less: who is sent away comes back for all of them.
constexpr int requests_of_a_step = 4;
constexpr auto longest_absence = 60s;

/// https://letsencrypt.org/docs/rate-limits/, "Overall Requests Limit".
RequestRates production_rates() {
  RequestRates rates;
  rates[EndpointClass::directory] = 40;
  rates[EndpointClass::new_nonce] = 20;
  rates[EndpointClass::new_account] = 5;
  rates[EndpointClass::new_order] = 300;
  rates[EndpointClass::revoke] = 10;
  rates[EndpointClass::renewal_info] = 1000;
  rates[EndpointClass::other] = 250;
  return rates;
}

RequestRates staging_rates() {
  RequestRates rates = production_rates();
  rates[EndpointClass::new_order] = 20;
  rates[EndpointClass::other] = 20;
  return rates;
}

Clock::duration interval(double rate) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(1 / rate));
}

Clock::duration tolerance(double rate) {
  const double burst = std::max(1.0, rate * burst_share);
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>((burst - 1) / rate));
}

std::int64_t second_of(Clock::time_point at) {
  return std::chrono::floor<std::chrono::seconds>(at).time_since_epoch().count();
}

Duration until(Clock::time_point then, Clock::time_point at) {
  return std::chrono::ceil<Duration>(std::max(then - at, Clock::duration::zero()));
}

}  // namespace

RequestRates known_rates(std::string_view directory_url) {
  switch (known_ca(directory_url)) {
    case KnownCa::lets_encrypt:
      return production_rates();
    case KnownCa::lets_encrypt_staging:
      return staging_rates();
    case KnownCa::none:
      break;
  }
  return {};
}

/// The generic cell rate algorithm: a token bucket that remembers one instant.
Pacer::Turn Pacer::take_turn(EndpointClass endpoint, Clock::time_point at) {
  const Lock lock(mutex_);
  Bucket& bucket = buckets_[endpoint];
  const double rate = rate_of(endpoint, at);
  if (rate == 0) {
    count(bucket, at);
    return {};
  }
  const Clock::duration spacing = interval(rate);
  const Clock::time_point turn = std::max(at, bucket.next - tolerance(rate));
  if (turn - at > longest_wait) return send_away(bucket, turn, spacing, at);
  bucket.next = std::max(bucket.next, at) + spacing;
  const Duration wait = until(turn, at);
  bucket.statistics.waited += wait;
  return {.wait = wait};
}

Pacer::Turn Pacer::send_away(Bucket& bucket, Clock::time_point turn, Clock::duration spacing,
                             Clock::time_point at) {
  ++bucket.statistics.sent_away;
  bucket.next_visitor = std::max(bucket.next_visitor, turn) + requests_of_a_step * spacing;
  bucket.next_visitor = std::min<Clock::time_point>(bucket.next_visitor, at + longest_absence);
  return {.wait = until(bucket.next_visitor, at), .is_too_far = true};
}

/// What slow_down() goes by where there is no limit.
void Pacer::count(Bucket& bucket, Clock::time_point at) {
  const std::int64_t second = second_of(at);
  if (second > bucket.second) {
    bucket.sent_before = second == bucket.second + 1 ? bucket.sent : 0;
    bucket.sent = 0;
    bucket.second = second;
  }
  ++bucket.sent;
}

void Pacer::answered(EndpointClass endpoint, int status, bool asks_to_slow_down, Clock::time_point sent,
                     Clock::time_point at) {
  if (status != 503 && status != 429) return;
  const Lock lock(mutex_);
  Bucket& bucket = buckets_[endpoint];
  ++(status == 503 ? bucket.statistics.busy : bucket.statistics.too_many);
  const bool is_news = !bucket.slowdown || sent > bucket.slowdown->since + echo_of_slowdown;
  if (asks_to_slow_down && is_news) slow_down(endpoint, at);
}

void Pacer::slow_down(EndpointClass endpoint, Clock::time_point at) {
  Bucket& bucket = buckets_[endpoint];
  const double ceiling = allowed(endpoint);
  double rate = rate_of(endpoint, at);
  if (rate == 0) rate = std::max({slowest, double(bucket.sent), double(bucket.sent_before)});
  const double full = ceiling > 0 ? ceiling : rate;
  bucket.slowdown = Slowdown{.rate = std::max(rate / 2, std::min(slowest, full)),
                             .step = full / static_cast<double>(recovery.count()),
                             .since = at};
}

void Pacer::share_among(int workers) {
  const Lock lock(mutex_);
  workers_ = std::max(1, workers);
}

double Pacer::rate(EndpointClass endpoint, Clock::time_point at) const {
  const Lock lock(mutex_);
  return rate_of(endpoint, at);
}

PaceStatistics Pacer::statistics(EndpointClass endpoint) const {
  const Lock lock(mutex_);
  return buckets_[endpoint].statistics;
}

double Pacer::allowed(EndpointClass endpoint) const {
  return limits_[endpoint] * margin / workers_;
}

double Pacer::rate_of(EndpointClass endpoint, Clock::time_point at) const {
  const double ceiling = allowed(endpoint);
  const std::optional<Slowdown>& slowdown = buckets_[endpoint].slowdown;
  if (!slowdown) return ceiling;
  const auto elapsed = at - slowdown->since;
  if (ceiling == 0 && elapsed >= recovery) return 0;
  const double recovered = slowdown->rate + slowdown->step * std::chrono::duration<double>(elapsed).count();
  return ceiling > 0 ? std::min(ceiling, recovered) : recovered;
}

}  // namespace csrq::acme
