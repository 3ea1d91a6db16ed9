#pragma once

#include <cstdint>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "base/time.hpp"

namespace csrq::bench {

/// Tokens by the generic cell rate algorithm, for any number of keys. Written apart from csrq's, which it
/// judges.
class Buckets {
 public:
  Buckets(int burst, Duration period) : refill_(period / burst), period_(period) {}

  /// When a token is there: `now`, or later.
  Time next(std::int64_t key, Time now) const;
  void spend(std::int64_t key, Time now, int tokens = 1);

 private:
  Duration refill_;
  Duration period_;
  std::unordered_map<std::int64_t, Time> full_at_{};
};

/// What an order is for, by number.
struct Subject {
  std::int64_t account{};
  std::int64_t name{};
  std::int64_t domain{};
};

/// Let's Encrypt's limits (https://letsencrypt.org/docs/rate-limits/), as strict as they are written there.
class LimitedCa {
 public:
  enum class Limit { accounts, orders, domain, name_set, failures };
  struct Refusal {
    Limit limit{};
    Duration retry_after{};
    bool is_news{};  ///< somebody else has taken from the limit, and no earlier answer said so
  };

  /// `has_limits`: or none, like a private CA.
  explicit LimitedCa(bool has_limits = true) : has_limits_(has_limits) {}

  std::optional<Refusal> new_account(Time now);
  /// The same names again are a renewal, which costs neither an order of the account nor a certificate of the
  /// domain.
  std::optional<Refusal> new_order(const Subject& subject, Time now);
  void issued(const Subject& subject, Time now);
  void validation_failed(const Subject& subject, Time now);
  /// Another client of the CA gets certificates for the domain.
  void somebody_else_issued(std::int64_t domain, Time now, int certificates);

 private:
  bool is_news(std::int64_t domain, Time now);

  bool has_limits_;
  Buckets accounts_{10, std::chrono::hours(3)};
  Buckets orders_{300, std::chrono::hours(3)};
  Buckets domains_{50, std::chrono::hours(7 * 24)};
  Buckets name_sets_{5, std::chrono::hours(7 * 24)};
  Buckets failures_{5, std::chrono::hours(1)};
  std::unordered_set<std::int64_t> issued_{};  ///< names
  /// Domains for which somebody else got certificates: when a refusal first told of the last of them, else
  /// Time::max().
  std::unordered_map<std::int64_t, Time> told_of_others_{};
};

}  // namespace csrq::bench
