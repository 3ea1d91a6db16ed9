#pragma once

#include <map>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "store/database.hpp"

namespace csrq::issuance {

/// The limits of a CA by name: what csrq knows of it (Let's Encrypt's, by its directory), overridden by the
/// configuration, name by name.
std::map<std::string, RateLimit> limits_of(const CaConfig& ca);

/// Whose buckets of `certificates_per_registered_domain` an order for these names draws on, as Let's Encrypt
/// counts: registered domains, IPv4 addresses, IPv6 networks (/64); each once, sorted.
std::vector<std::string> limited_domains(const std::vector<std::string>& names);

/// Tells the database what this CA allows. A limit that is new there starts with what the history says was
/// spent. Before the first order; safe to repeat.
void put_limits_in_force(store::Database& database, const CaConfig& ca);

}  // namespace csrq::issuance
