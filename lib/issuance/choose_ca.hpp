#pragma once

#include <string>

#include "issuance/task.hpp"
#include "issuance/world.hpp"

namespace csrq::issuance {

/// Takes the row to the fallback of its CA, unless that may not (RFC 8659) or cannot issue for its names now.
/// An order that is open there (`open_directory`) is gone on with in any case. Waits for DNS, for 15 s at
/// most.
void fall_back(World& world, Task& task, const std::string& open_directory);

/// What a row says itself, else what its CA's configuration says.
const std::string& first_not_empty(const std::string& first, const std::string& second);

/// What an order asks for. At a fallback CA only that one's own configuration counts: profiles and chains go
/// by names that each CA chooses for itself.
const std::string& wanted_profile(const Task& task);
const std::string& wanted_chain(const Task& task);

}  // namespace csrq::issuance
