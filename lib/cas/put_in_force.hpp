#pragma once

#include "cas/ca_pool.hpp"
#include "store/database.hpp"

/// What the database has to know of the CAs' configuration. Safe to repeat.
namespace csrq::cas {

/// How each CA's abandoned authorizations are settled.
void put_policies_in_force(store::Database& database, const CaPool& cas);

/// What each CA allows. Before the first order.
void put_limits_in_force(store::Database& database, const CaPool& cas);

}  // namespace csrq::cas
