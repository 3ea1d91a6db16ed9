#include "bench/limited_ca.hpp"

#include <algorithm>

namespace csrq::bench {

using namespace std::chrono_literals;

Time Buckets::next(std::int64_t key, Time now) const {
  const auto found = full_at_.find(key);
  return found == full_at_.end() ? now : std::max(now, found->second - (period_ - refill_));
}

void Buckets::spend(std::int64_t key, Time now, int tokens) {
  Time& full_at = full_at_.try_emplace(key, now).first->second;
  full_at = std::min(std::max(full_at, now) + tokens * refill_, now + period_);
}

namespace {

constexpr std::int64_t all = 0;

std::optional<LimitedCa::Refusal> refusal(LimitedCa::Limit limit, Time next, Time now) {
  if (next <= now) return std::nullopt;
  return LimitedCa::Refusal{
      .limit = limit, .retry_after = std::chrono::ceil<std::chrono::seconds>(next - now), .is_news = false};
}

}  // namespace

std::optional<LimitedCa::Refusal> LimitedCa::new_account(Time now) {
  if (!has_limits_) return std::nullopt;
  if (const auto refused = refusal(Limit::accounts, accounts_.next(all, now), now)) return refused;
  accounts_.spend(all, now);
  return std::nullopt;
}

std::optional<LimitedCa::Refusal> LimitedCa::new_order(const Subject& subject, Time now) {
  if (!has_limits_) return std::nullopt;
  if (const auto refused = refusal(Limit::failures, failures_.next(subject.name, now), now)) return refused;
  if (const auto refused = refusal(Limit::name_set, name_sets_.next(subject.name, now), now)) return refused;
  if (issued_.contains(subject.name)) return std::nullopt;
  if (auto refused = refusal(Limit::domain, domains_.next(subject.domain, now), now)) {
    refused->is_news = is_news(subject.domain, now);
    return refused;
  }
  if (const auto refused = refusal(Limit::orders, orders_.next(subject.account, now), now)) return refused;
  orders_.spend(subject.account, now);
  return std::nullopt;
}

void LimitedCa::issued(const Subject& subject, Time now) {
  name_sets_.spend(subject.name, now);
  if (issued_.insert(subject.name).second) domains_.spend(subject.domain, now);
}

void LimitedCa::validation_failed(const Subject& subject, Time now) {
  failures_.spend(subject.name, now);
}

void LimitedCa::somebody_else_issued(std::int64_t domain, Time now, int certificates) {
  domains_.spend(domain, now, certificates);
  told_of_others_[domain] = Time::max();
}

/// Orders that were under way together learn it together.
bool LimitedCa::is_news(std::int64_t domain, Time now) {
  const auto found = told_of_others_.find(domain);
  if (found == told_of_others_.end()) return false;
  if (found->second == Time::max()) found->second = now;
  return found->second == now;
}

}  // namespace csrq::bench
