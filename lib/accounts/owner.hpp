#pragma once

#include <string>
#include <vector>

#include "base/account_policy.hpp"
#include "store/accounts.hpp"

namespace csrq::accounts {

/// Whose account an order for `names` uses: everybody's (empty), the customer's, or that of a registered
/// domain: of those of all names the first in order, whatever the order of the names. `names` is not empty.
std::string owner_name(AccountPolicy policy, const std::string& customer,
                       const std::vector<std::string>& names);

/// For people: "the account of "acme" at https://…".
std::string described(const store::AccountOwner& owner);

}  // namespace csrq::accounts
