#pragma once

#include <string_view>

#include "acme/ca.hpp"

namespace csrq::acme {

/// RFC 8555 §7.6, signed with the account's key. `reason`: RFC 5280 §5.3.1. Safe to repeat: a certificate
/// that is revoked already is success. Throws Error{permanent, "not_offered"} if the CA revokes nothing.
void revoke(Session& session, std::string_view certificate_der, int reason);

}  // namespace csrq::acme
