#pragma once

#include <optional>

#include "issuance/progress.hpp"
#include "issuance/task.hpp"
#include "issuance/world.hpp"

namespace csrq::issuance {

/// What is found out before any account or order is touched, once for a task: whether the CSR is fit for its
/// CA (preflight.hpp), and what the database decides of the row: it goes on, to its CA or that one's
/// fallback (nothing is returned), has got another row's chain, waits for another row, or ends. Throws
/// Error{permanent} for what no CA would take.
std::optional<Progress> before_order(World& world, Task& task);

}  // namespace csrq::issuance
