#include "accounts/owner.hpp"

#include <algorithm>

#include "cas/registered_domain.hpp"

namespace csrq::accounts {
namespace {

std::string first_registered_domain(const std::vector<std::string>& names) {
  std::vector<std::string> domains;
  domains.reserve(names.size());
  for (const std::string& name : names) domains.push_back(cas::registered_domain(name));
  return *std::ranges::min_element(domains);
}

}  // namespace

std::string owner_name(AccountPolicy policy, const std::string& customer,
                       const std::vector<std::string>& names) {
  switch (policy) {
    case AccountPolicy::shared:
      return {};
    case AccountPolicy::per_registered_domain:
      return first_registered_domain(names);
    case AccountPolicy::per_customer:
      break;
  }
  return customer;
}

std::string described(const store::AccountOwner& owner) {
  return (owner.owner.empty() ? "the shared account" : "the account of \"" + owner.owner + "\"") + " at " +
         owner.directory;
}

}  // namespace csrq::accounts
