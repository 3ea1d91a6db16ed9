#include "bench/portfolio.hpp"

#include <algorithm>
#include <array>
#include <numeric>
#include <random>
#include <utility>

namespace csrq::bench {
namespace {

using namespace std::chrono_literals;

constexpr std::int64_t single_inserts_of_new_customers = 200;  // at most: each needs an account
constexpr int big_domain = 200;                                // more than a week of its limit
constexpr int middling_domain = 40;  // less than its burst, unless somebody else takes from it
constexpr int names_for_each_big_domain = 5'000;
constexpr int names_for_each_middling_domain = 200;
constexpr double always_fails = 0.02;
constexpr double fails_at_first = 0.03;
constexpr auto a_day = std::chrono::hours(24);
constexpr std::array taken_by_others{std::pair{2h, 30}, std::pair{50h, 5}, std::pair{100h, 5}};

class Maker {
 public:
  Maker(std::int64_t names, Time start, Time end, unsigned seed)
      : single_inserts_(std::max<std::int64_t>(20, names / 50)),
        at_start_(std::max<std::int64_t>(1, names - single_inserts_)),
        start_(start),
        end_(end),
        random_(seed) {}

  Portfolio make() {
    share_out();
    add_single_inserts();
    std::ranges::stable_sort(made_.names, {}, &WantedName::inserted);
    for (const auto& [after, certificates] : taken_by_others)
      made_.taken_by_others.push_back({.at = start_ + after, .certificates = certificates});
    return std::move(made_);
  }

 private:
  double share() { return std::uniform_real_distribution<double>(0, 1)(random_); }

  /// Half for one customer, to the n-th of the others 1/n of what the first of them has.
  void share_out() {
    const int others = static_cast<int>(std::clamp<std::int64_t>(at_start_ / 100, 10, 1000));
    double weights = 0;
    for (int n = 1; n <= others; ++n) weights += 1.0 / n;
    std::vector<std::int64_t> sizes{at_start_ / 2};
    for (int n = 1; n <= others; ++n)
      sizes.push_back(std::max<std::int64_t>(
          1, static_cast<std::int64_t>(static_cast<double>(at_start_) / 2 / weights / n)));
    const std::int64_t small = sizes[sizes.size() / 2];
    std::ranges::shuffle(sizes, random_);
    for (const std::int64_t size : sizes) add_customer(size, size <= small);
  }

  void add_customer(std::int64_t names, bool is_small) {
    const int customer = made_.customers++;
    if (is_small) small_customers_.push_back(customer);
    const std::int64_t big = names / names_for_each_big_domain;
    const std::int64_t middling = names / names_for_each_middling_domain;
    for (std::int64_t i = 0; i < big; ++i) add_domain(customer, big_domain, i % 2 == 0);
    for (std::int64_t i = 0; i < middling; ++i) add_domain(customer, middling_domain, i % 2 == 0);
    for (std::int64_t i = big * big_domain + middling * middling_domain; i < names; ++i)
      add_domain(customer, 1, false);
  }

  void add_domain(int customer, int names, bool contested) {
    if (contested) made_.contested_domains.push_back(domains_);
    for (int i = 0; i < names; ++i)
      made_.names.push_back({.customer = customer,
                             .domain = domains_,
                             .inserted = start_,
                             .can_be_proven = some_time_to_be_proven(),
                             .is_single_insert = false});
    ++domains_;
  }

  Time some_time_to_be_proven() {
    const double luck = share();
    if (luck < always_fails) return Time::max();
    if (luck < always_fails + fails_at_first) return start_ + a_day + share_of(4 * a_day);
    return start_;
  }

  Duration share_of(Duration whole) {
    return Duration(static_cast<Duration::rep>(share() * static_cast<double>(whole.count())));
  }

  /// Half of them in the first ten days, while the others' rows wait for the limits; a tenth by new
  /// customers.
  void add_single_inserts() {
    const Duration whole = end_ - start_;
    const Duration busy = std::min<Duration>(10 * a_day, whole);
    for (std::int64_t i = 0; i < single_inserts_; ++i) {
      const bool is_new = i % 10 == 0 && i / 10 < single_inserts_of_new_customers;
      const int customer = is_new ? made_.customers++ : small_customers_[random_() % small_customers_.size()];
      const Time at = start_ + share_of(i / 10 % 2 == 0 ? busy : whole);
      made_.names.push_back({.customer = customer,
                             .domain = domains_++,
                             .inserted = at,
                             .can_be_proven = at,
                             .is_single_insert = true});
    }
  }

  const std::int64_t single_inserts_;
  const std::int64_t at_start_;
  const Time start_;
  const Time end_;
  std::minstd_rand random_;
  int domains_{0};
  std::vector<int> small_customers_{};
  Portfolio made_{};
};

}  // namespace

std::vector<int> Portfolio::by_size() const {
  std::vector<std::int64_t> sizes(static_cast<std::size_t>(customers));
  for (const WantedName& wanted : names) ++sizes[static_cast<std::size_t>(wanted.customer)];
  std::vector<int> order(sizes.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, std::greater<>(),
                           [&](int customer) { return sizes[static_cast<std::size_t>(customer)]; });
  return order;
}

std::string Portfolio::name(std::size_t index) const {
  return "n" + std::to_string(index) + "." + domain(names[index].domain);
}

std::string Portfolio::domain(int index) {
  return "d" + std::to_string(index) + ".example";
}

std::string Portfolio::customer(int index) {
  return "customer-" + std::to_string(index);
}

Portfolio make_portfolio(std::int64_t names, Time start, Time end, unsigned seed) {
  return Maker(names, start, end, seed).make();
}

}  // namespace csrq::bench
