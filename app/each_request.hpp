#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "reports/json.hpp"
#include "store/ids.hpp"

namespace csrq::app {

/// Calls `act` for each of `ids` and prints a line for each: for people what it returns, with --json
/// `document`, which holds the id and is for it to add to. One that is refused is told, too, and keeps none
/// of the others from being acted on: then the exit code is 1.
Exit for_each_request(
    const std::vector<store::RequestId>& ids, bool json,
    const std::function<std::string(store::RequestId id, reports::JsonObject& document)>& act);

}  // namespace csrq::app
