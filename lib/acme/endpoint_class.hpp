#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include "acme/directory.hpp"

namespace csrq::acme {

/// What a CA counts requests by (Let's Encrypt does so for each address that they come from).
enum class EndpointClass { directory, new_nonce, new_account, new_order, revoke, renewal_info, other };

constexpr std::array endpoint_classes{EndpointClass::directory,   EndpointClass::new_nonce,
                                      EndpointClass::new_account, EndpointClass::new_order,
                                      EndpointClass::revoke,      EndpointClass::renewal_info,
                                      EndpointClass::other};

/// "new_nonce": as in the configuration and the metrics.
std::string_view to_string(EndpointClass endpoint);

/// The class of a request to `url`, which is not the directory's own. Everything below renewalInfo is
/// renewal_info (RFC 9773 §4.1).
EndpointClass class_of(std::string_view url, const Directory& directory);

/// A value for each class.
template <class Value>
class ByEndpoint {
 public:
  Value& operator[](EndpointClass endpoint) { return values_[static_cast<std::size_t>(endpoint)]; }
  const Value& operator[](EndpointClass endpoint) const {
    return values_[static_cast<std::size_t>(endpoint)];
  }

 private:
  std::array<Value, endpoint_classes.size()> values_{};
};

}  // namespace csrq::acme
