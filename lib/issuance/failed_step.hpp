#pragma once

#include "issuance/outcome.hpp"
#include "issuance/progress.hpp"
#include "issuance/task.hpp"
#include "issuance/world.hpp"

namespace csrq::issuance {

/// A step has failed: decides what becomes of the row (outcome.hpp), and writes it. Waits for the CA where
/// that is about its account.
Progress end_failed_step(World& world, Task& task, Failure failure);

/// Does to the row, and to all who would meet the same, what was decided.
Progress carry_out(World& world, Task& task, Outcome outcome);

}  // namespace csrq::issuance
