#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/rate_limit.hpp"
#include "store/database.hpp"

namespace csrq::cas {

/// The limits of a CA by name: what csrq knows of it (Let's Encrypt's, by its directory), overridden by what
/// is configured, name by name.
using RateLimits = std::map<std::string, RateLimit>;
RateLimits limits_of(const std::string& directory, RateLimits configured = {});

/// Whose buckets of `certificates_per_registered_domain` an order for these names draws on, as Let's Encrypt
/// counts: registered domains, IPv4 addresses, IPv6 networks (/64); each once, sorted.
std::vector<std::string> limited_domains(const std::vector<std::string>& names);

/// Tells the database what the CA allows (limits_of). A limit that is new there starts with what the history
/// says was spent. Before the first order; safe to repeat.
void put_limits_in_force(store::Database& database, const std::string& directory, const RateLimits& limits);

}  // namespace csrq::cas
