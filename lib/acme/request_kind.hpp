#pragma once

#include <array>
#include <string_view>

namespace csrq::acme {

/// What was asked of a CA: what its refusal means depends on it (refusal_rules.hpp).
enum class RequestKind {
  directory,
  new_nonce,
  new_account,
  account_lookup,
  order_list,
  new_order,
  order,
  authorization,
  challenge,
  challenge_response,
  challenge_error,  ///< what a challenge's `error` says, the late answer to its response
  finalize,
  order_error,  ///< what an order's `error` says, the late answer to finalize
  certificate,
  issuer,
  key_change,
  revoke_cert,
  deactivation,  ///< of an authorization
  renewal_info,
};

/// "newOrder": what errors, failpoints and docs/operating.md call it.
std::string_view to_string(RequestKind request);

}  // namespace csrq::acme
