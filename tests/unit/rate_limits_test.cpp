#include "cas/rate_limits.hpp"

#include <doctest/doctest.h>

using namespace csrq;
using namespace csrq::cas;

namespace {

constexpr const char* lets_encrypt = "https://acme-v02.api.letsencrypt.org/directory";

}  // namespace

TEST_CASE("Let's Encrypt's limits are known by its directory, and no other CA's") {
  const auto known = limits_of(lets_encrypt);
  CHECK(known.size() == limit_names.size());
  CHECK(known.at("new_orders_per_account").burst == 300);
  CHECK(known.at("new_orders_per_account").renewals_exempt);
  CHECK_FALSE(known.at("certificates_per_name_set").renewals_exempt);
  CHECK(limits_of("https://acme-staging-v02.api.letsencrypt.org/directory")
            .at("certificates_per_name_set")
            .burst == 30'000);
  CHECK(limits_of("https://acme-v02.api.letsencrypt.org.example/directory").empty());
}

TEST_CASE("the configuration overrides what is known, limit by limit") {
  const RateLimits limits =
      limits_of(lets_encrypt, {{"new_orders_per_account", {.burst = 5000, .period = std::chrono::hours(3)}}});
  CHECK(limits.at("new_orders_per_account").burst == 5000);
  CHECK_FALSE(limits.at("new_orders_per_account").built_in);
  CHECK(limits.at("certificates_per_name_set").burst == 5);
}

TEST_CASE("names are counted by registered domain, IPv4 address and IPv6 network") {
  CHECK(limited_domains(
            {"a.b.example.co.uk", "*.example.co.uk", "192.0.2.1", "2001:db8:1:2:3::4", "2001:db8:1:2::9"}) ==
        std::vector<std::string>{"192.0.2.1", "2001:db8:1:2::/64", "example.co.uk"});
}
