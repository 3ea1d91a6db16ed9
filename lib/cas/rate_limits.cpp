#include "cas/rate_limits.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <array>

#include "base/known_ca.hpp"
#include "cas/registered_domain.hpp"
#include "store/rate_limits.hpp"

namespace csrq::cas {
namespace {

using namespace std::chrono_literals;

constexpr Duration an_hour = 1h;
constexpr Duration a_week = std::chrono::hours(7 * 24);
constexpr Duration a_day = std::chrono::hours(24);

RateLimit known(int burst, Duration period, bool renewals_exempt = false) {
  return {.burst = burst, .period = period, .renewals_exempt = renewals_exempt, .built_in = true};
}

/// https://letsencrypt.org/docs/rate-limits/ as of 2026-08-05.
RateLimits of_lets_encrypt() {
  return {{"new_accounts_per_address", known(10, 3 * an_hour)},
          {"new_orders_per_account", known(300, 3 * an_hour, true)},
          {"certificates_per_registered_domain", known(50, a_week, true)},
          {"certificates_per_name_set", known(5, a_week)},
          {"failed_validations_per_identifier", known(5, an_hour)},
          {"consecutive_failures_per_identifier", known(1152, 1152 * a_day)}};
}

/// https://letsencrypt.org/docs/staging-environment/
RateLimits of_lets_encrypt_staging() {
  return {{"new_accounts_per_address", known(50, 3 * an_hour)},
          {"new_orders_per_account", known(1500, 3 * an_hour, true)},
          {"certificates_per_registered_domain", known(30'000, a_week, true)},
          {"certificates_per_name_set", known(30'000, a_week)},
          {"failed_validations_per_identifier", known(200, an_hour)},
          {"consecutive_failures_per_identifier", known(3600, 3600 * (a_day / 2))}};
}

/// Nothing if it is no IPv6 address.
std::string network_of(const std::string& address) {
  in6_addr octets{};
  if (inet_pton(AF_INET6, address.c_str(), &octets) != 1) return {};
  constexpr std::size_t network_octets = 8;
  std::fill(std::begin(octets.s6_addr) + network_octets, std::end(octets.s6_addr), std::uint8_t{0});
  std::array<char, INET6_ADDRSTRLEN> text{};
  inet_ntop(AF_INET6, &octets, text.data(), text.size());
  return std::string(text.data()) + "/64";
}

}  // namespace

RateLimits limits_of(const std::string& directory, RateLimits configured) {
  RateLimits limits = std::move(configured);
  switch (known_ca(directory)) {
    case KnownCa::lets_encrypt:
      limits.merge(of_lets_encrypt());
      break;
    case KnownCa::lets_encrypt_staging:
      limits.merge(of_lets_encrypt_staging());
      break;
    case KnownCa::none:
      break;
  }
  return limits;
}

std::vector<std::string> limited_domains(const std::vector<std::string>& names) {
  std::vector<std::string> domains;
  for (const std::string& name : names) {
    std::string network = network_of(name);
    domains.push_back(network.empty() ? registered_domain(name) : std::move(network));
  }
  std::ranges::sort(domains);
  const auto repeated = std::ranges::unique(domains);
  domains.erase(repeated.begin(), repeated.end());
  return domains;
}

void put_limits_in_force(store::Database& database, const std::string& directory, const RateLimits& limits) {
  if (const auto limit = limits.find("certificates_per_registered_domain"); limit != limits.end()) {
    std::vector<std::string> domains;
    std::vector<std::string> issued_at;
    for (const auto& certificate : store::certificates_to_seed(database, directory, limit->second))
      for (const std::string& domain : limited_domains(certificate.names)) {
        domains.push_back(domain);
        issued_at.push_back(certificate.issued_at);
      }
    if (!domains.empty()) store::seed_domains(database, directory, limit->second, domains, issued_at);
  }
  store::set_rate_limits(database, directory, limits);
}

}  // namespace csrq::cas
