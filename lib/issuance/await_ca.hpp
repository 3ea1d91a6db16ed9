#pragma once

#include "acme/order.hpp"
#include "issuance/progress.hpp"
#include "issuance/task.hpp"
#include "issuance/world.hpp"

/// The CA is at work on the row's order: how long until the next look.
namespace csrq::issuance {

/// While it validates. What it says of challenges meanwhile (`task.order.work.noted`) is written into the
/// row.
Progress await_validation(World& world, Task& task, const acme::Order& order);

/// After finalize. An order that stays like that for too long, or that csrq.retry() wants asked anew, is
/// given up, and another is ordered. Throws Error{transient, "order_stuck"} then.
Progress await_issuance(World& world, Task& task, const acme::Order& order);

/// A look has found this order: the first after a wait tells whether the wait was well chosen.
void learn_pace(const Task& task, const acme::Order& order);

}  // namespace csrq::issuance
