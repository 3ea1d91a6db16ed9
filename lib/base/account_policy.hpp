#pragma once

#include <stdexcept>
#include <string_view>

namespace csrq {

/// Whose an account at a CA is.
enum class AccountPolicy { per_customer, shared, per_registered_domain };

/// csrq.acme_account.policy.
constexpr std::string_view policy_name(AccountPolicy policy) {
  switch (policy) {
    case AccountPolicy::per_customer:
      return "per_customer";
    case AccountPolicy::shared:
      return "shared";
    case AccountPolicy::per_registered_domain:
      return "per_registered_domain";
  }
  throw std::invalid_argument("no account policy");
}

constexpr AccountPolicy policy_named(std::string_view name) {
  for (const auto policy :
       {AccountPolicy::per_customer, AccountPolicy::shared, AccountPolicy::per_registered_domain}) {
    if (policy_name(policy) == name) return policy;
  }
  throw std::invalid_argument("csrq.acme_account has a policy that this csrq does not know");
}

}  // namespace csrq
