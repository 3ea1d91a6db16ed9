#pragma once

#include <optional>

#include "base/error.hpp"
#include "issuance/progress.hpp"
#include "issuance/task.hpp"
#include "issuance/world.hpp"

/// Whether a row's CA is in reach, as its own requests tell (cas/outage.hpp).
namespace csrq::issuance {

/// While the CA is out of reach its rows wait without asking, and without a failure counted.
std::optional<Progress> wait_for_ca(World& world, Task& task);

/// A request got an answer.
void note_answer(cas::PooledCa& ca);

/// A request may have got none. How long the CA is left alone, if it is out of reach as far as this failure
/// tells; nothing if it is not, or answers other requests meanwhile: then it is the row's own failure that
/// repeats.
std::optional<Duration> note_failure(Task& task, const Failure& failure);

}  // namespace csrq::issuance
