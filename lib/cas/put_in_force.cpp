#include "cas/put_in_force.hpp"

#include "cas/rate_limits.hpp"
#include "config/cas.hpp"
#include "store/janitor.hpp"

namespace csrq::cas {

void put_policies_in_force(store::Database& database, const CaPool& cas) {
  std::vector<store::CaPolicy> policies;
  for (const PooledCa* ca : cas.all())
    policies.push_back({.ca = ca->name(),
                        .directory = ca->directory(),
                        .abandoned = ca->config.abandoned,
                        .deactivate_per_hour = ca->config.deactivate_per_hour});
  store::set_ca_policies(database, policies);
}

void put_limits_in_force(store::Database& database, const CaPool& cas) {
  for (const PooledCa* ca : cas.all())
    put_limits_in_force(database, ca->directory(), limits_of(ca->directory(), ca->config.limits));
}

}  // namespace csrq::cas
