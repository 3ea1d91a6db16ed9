#pragma once

#include "acme/order.hpp"
#include "issuance/progress.hpp"
#include "issuance/task.hpp"
#include "issuance/world.hpp"

namespace csrq::issuance {

/// Downloads the chain of a valid order, and writes it with all that belongs to it, in one transaction: a
/// chain that verifies, the one of the CA's that the row prefers, complete as far as its issuers are known.
/// Throws Error{transient} for a chain that does not pass: the order stays open, and it is downloaded again.
Progress deliver(World& world, Task& task, acme::Session& session, const acme::Order& order);

}  // namespace csrq::issuance
