#include "renewals/renewal_time.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>

using namespace std::chrono_literals;
using namespace csrq;
using namespace csrq::renewals;

TEST_CASE("renewal time: a third of ninety days before the end, or up to 5 % of the lifetime earlier") {
  const Time start = parse_rfc3339("2026-01-01T00:00:00Z").value();
  const Time end = start + 24h * 90;
  const auto days = [&](double jitter) {
    return seconds(renewal_time(start, end, 1.0 / 3, jitter) - start) / 86'400;
  };
  CHECK(days(0) == doctest::Approx(60).epsilon(0.001));  // but for the first minute of an hour
  CHECK(days(1) == doctest::Approx(60 - 4.5).epsilon(0.001));
  CHECK(days(0.5) == doctest::Approx(60 - 2.25).epsilon(0.001));
}

TEST_CASE("renewal time: half of the lifetime is left if it is shorter than ten days") {
  const Time start = parse_rfc3339("2026-01-01T00:00:00Z").value();
  const Time half = start + 24h * 3 - 1min;
  CHECK(renewal_time(start, start + 24h * 6, 1.0 / 3, 0) == half);
  CHECK(renewal_time(start, start + 24h * 6, 0.9, 0) == half);
  CHECK(renewal_time(start, start + 24h * 6, 1.0 / 3, 1) < start + 24h * 3);
}

TEST_CASE("renewal time: never before the certificate, whatever share is configured") {
  const Time start = parse_rfc3339("2026-01-01T00:00:00Z").value();
  CHECK(renewal_time(start, start + 24h * 90, 0.98, 1) > start);
}

TEST_CASE("renewal time: never in the first minute of an hour, and earlier rather than later") {
  const Time start = parse_rfc3339("2026-01-01T00:00:00Z").value();
  const Time rule = start + 24h * 60;
  for (int i = 0; i <= 100'000; ++i) {
    const double jitter = i / 100'000.0;
    const Time at = renewal_time(start, start + 24h * 90, 1.0 / 3, jitter);
    if (at > rule || at < rule - 24h * 5 || at - std::chrono::floor<std::chrono::hours>(at) < 1min)
      FAIL("jitter " << jitter << ": " << to_rfc3339(at));
  }
}

TEST_CASE("renewal time: a thousand requests that follow one another are spread evenly, always alike") {
  std::array<int, 10> tenths{};
  for (int i = 1; i <= 1000; ++i) {
    const double share = stable_share(store::RequestId{i});
    REQUIRE(share >= 0);
    REQUIRE(share < 1);
    CHECK(share == stable_share(store::RequestId{i}));
    ++tenths.at(static_cast<std::size_t>(share * 10));
  }
  CHECK(*std::ranges::min_element(tenths) > 70);
  CHECK(*std::ranges::max_element(tenths) < 130);
}
