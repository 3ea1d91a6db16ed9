#pragma once

#include "store/database.hpp"

namespace csrq::renewals {

/// Writes down who issues certificates below each chain of issuers, where nobody has done so. (The database
/// cannot read certificates.) Throws UsageError if the login may not.
void name_issuers(store::Database& database);

}  // namespace csrq::renewals
