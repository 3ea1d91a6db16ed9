#pragma once

#include <optional>

#include "acme/order.hpp"
#include "issuance/task.hpp"
#include "issuance/world.hpp"

namespace csrq::issuance {

/// newOrder (RFC 8555 §7.4), unless one that was sent for this intent before can be found again. Nothing: the
/// intent is closed, and what comes next opens another. Throws Error; where there is certainly no order, the
/// intent is closed, too.
std::optional<acme::Order> order_for_intent(World& world, Task& task, acme::Session& session);

}  // namespace csrq::issuance
