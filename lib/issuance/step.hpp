#pragma once

#include "issuance/progress.hpp"
#include "issuance/task.hpp"
#include "issuance/world.hpp"

namespace csrq::issuance {

/// Takes a row as far as it goes without waiting (beyond single requests and commits). Safe to repeat after a
/// crash at any point: the CA holds the truth, we hold the URLs. What becomes of the row is written before
/// this returns. Throws only Unreachable (the database is away; nothing is known to be written). Thread-safe
/// for different tasks.
Progress advance(World& world, Task& task);

}  // namespace csrq::issuance
