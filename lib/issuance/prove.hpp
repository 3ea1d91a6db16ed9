#pragma once

#include "acme/order.hpp"
#include "issuance/progress.hpp"
#include "issuance/task.hpp"
#include "issuance/world.hpp"

/// Control of the names of a pending order (RFC 8555 §7.5).
namespace csrq::issuance {

/// Writes every answer into the ledger, in one commit, has them placed, then tells the CA of all of them: only
/// then the first wait begins. Called again while the CA is at work on them, it sees what the CA says by then,
/// and tells it again. Between "placed" and "told" the row may wait (`task.order.untold`): tell_ca() goes on
/// then.
Progress prove(World& world, Task& task, acme::Session& session, const acme::Order& order);

/// Tells the CA of the answers as soon as all are placed, however many steps that takes.
Progress tell_ca(World& world, Task& task, acme::Session& session);

}  // namespace csrq::issuance
