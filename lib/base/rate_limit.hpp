#pragma once

#include <array>
#include <string_view>

#include "base/time.hpp"

namespace csrq {

/// What a CA allows: `burst` at once, refilled evenly over `period`.
struct RateLimit {
  int burst{};
  Duration period{};
  bool renewals_exempt{false};
  bool built_in{false};  ///< what csrq knows of the CA, not what the file says
};

/// As in csrq.limit_kind.
inline constexpr std::array<std::string_view, 6> limit_names{
    "new_accounts_per_address",           "new_orders_per_account",
    "certificates_per_registered_domain", "certificates_per_name_set",
    "failed_validations_per_identifier",  "consecutive_failures_per_identifier"};

}  // namespace csrq
