#pragma once

#include <cstdint>
#include <string_view>

#include "base/customer_policy.hpp"
#include "store/database.hpp"
#include "store/ids.hpp"

/// Who may ask for which names: `customers.grants`, as the database holds it.
namespace csrq::store {

/// As in the configuration: "auto".
std::string_view to_string(Grants grants);

/// True if something else was in force until now.
bool put_grants_in_force(Database& database, Grants grants);

struct GrantsReport {
  Grants in_force{};
  std::int64_t app_logins{};          ///< logins of apps only
  std::int64_t limited_app_logins{};  ///< those that csrq.app_access limits to named customers
  std::int64_t refused_renewals{};    ///< of the next renewals, as far as they were looked at
  RequestId first_refused{};          ///< the first of them
};
GrantsReport grants_report(Database& database);

}  // namespace csrq::store
