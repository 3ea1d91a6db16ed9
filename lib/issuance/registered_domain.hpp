#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace csrq::issuance {

/// The registered domain of a DNS name by the public suffix list ("a.b.example.co.uk" → "example.co.uk";
/// wildcards as the name below the asterisk). A public suffix itself and an IP address are returned as they
/// are.
std::string registered_domain(std::string_view name);

/// Whose account an order for these names uses under `accounts.policy: per_registered_domain`: of the
/// registered domains of all names the first in order. `names` is not empty.
std::string account_domain(const std::vector<std::string>& names);

}  // namespace csrq::issuance
