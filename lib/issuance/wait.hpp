#pragma once

#include "issuance/later.hpp"
#include "issuance/progress.hpp"
#include "issuance/task.hpp"
#include "issuance/world.hpp"

namespace csrq::issuance {

/// The row goes on later. Written into the row: why, where it is back in the queue, or kept for longer than
/// need not be told.
Progress wait(World& world, Task& task, const Later& later, Failure why);

}  // namespace csrq::issuance
