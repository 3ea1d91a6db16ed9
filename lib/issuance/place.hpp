#pragma once

#include <optional>

#include "issuance/progress.hpp"
#include "issuance/task.hpp"
#include "issuance/world.hpp"

namespace csrq::issuance {

/// One of the CA's slots and the account of the row's owner, both kept by the task. A Progress: not yet.
/// Waits for the CA where the account must be made. Throws what Accounts::find_or_register does.
std::optional<Progress> take_place(World& world, Task& task);

}  // namespace csrq::issuance
