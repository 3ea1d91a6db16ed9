#pragma once

#include <optional>

#include "acme/order.hpp"
#include "base/error.hpp"
#include "base/status.hpp"
#include "issuance/progress.hpp"
#include "issuance/task.hpp"
#include "issuance/world.hpp"

/// Which order is the row's.
namespace csrq::issuance {

/// The row's open order from the ledger, or the committed intent of a new one, kept by the task. A Progress:
/// no order may be opened yet.
std::optional<Progress> open_order(World& world, Task& task);

/// That order as the CA shows it, or as it answers newOrder; all its URLs are committed. Nothing: the order
/// is of no use, see without_order(). Throws Error; where the CA has lost the order, it is closed.
std::optional<acme::Order> current_order(World& world, Task& task, acme::Session& session);

/// What follows where current_order() has nothing: another order at once; or, since the CA hands out the
/// order that another row is working on, a wait until that one is done.
Progress without_order(World& world, Task& task);

/// The order is dead, or given up: what comes next opens another.
void close_order(World& world, Task& task, OrderStatus status, const Failure& why);

}  // namespace csrq::issuance
