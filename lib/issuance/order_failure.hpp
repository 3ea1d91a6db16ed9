#pragma once

#include <vector>

#include "acme/authorization.hpp"
#include "acme/order.hpp"
#include "base/error.hpp"

namespace csrq::issuance {

/// Why an order died, put together from the order and its authorizations: class, code and sentence of the
/// first error found; the problem document has one subproblem (RFC 8555 §6.7.1) for each identifier that
/// failed.
Failure order_failure(const acme::Order& order, const std::vector<acme::Authorization>& authorizations);

}  // namespace csrq::issuance
