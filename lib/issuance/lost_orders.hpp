#pragma once

#include <optional>
#include <string>
#include <vector>

#include "acme/order.hpp"
#include "issuance/task.hpp"
#include "issuance/world.hpp"

/// Orders of which the database does not know, or not for sure, that the CA has them.
namespace csrq::issuance {

/// The answer to an earlier newOrder was lost; the CA lists the account's orders, so it is the one for the
/// same names that the ledger does not have.
std::optional<acme::Order> find_lost_order(World& world, const Task& task, acme::Session& session);

/// Of these orders, the first that is for the row's names and can be taken further.
std::optional<acme::Order> first_resumable(World& world, const Task& task, acme::Session& session,
                                           const std::vector<std::string>& urls);

/// Whether any order may have been made before, which the database has lost.
bool was_promoted(const World& world);

/// Nobody has looked at it since its row was cancelled. One that is of no use any more is closed, and no
/// failure of this row: what comes next opens another.
bool keeps_adopted_order(World& world, Task& task, acme::Session& session);

}  // namespace csrq::issuance
