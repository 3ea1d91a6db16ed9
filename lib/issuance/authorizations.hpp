#pragma once

#include <vector>

#include "acme/authorization.hpp"
#include "acme/order.hpp"
#include "issuance/task.hpp"
#include "issuance/world.hpp"

/// The authorizations of the row's order, between CA and ledger.
namespace csrq::issuance {

/// Reads them all, and writes them down, with the answers to their challenges. An
/// order with one that has failed, or that the CA has forgotten, is closed. Throws Error then.
std::vector<acme::Authorization> read_authorizations(World& world, Task& task, acme::Session& session,
                                                     const acme::Order& order);

/// Closes an order that the CA has ended, after what became of its authorizations is written down, and throws
/// Error: why it died.
[[noreturn]] void give_up_order(World& world, Task& task, acme::Session& session, const acme::Order& order);

}  // namespace csrq::issuance
