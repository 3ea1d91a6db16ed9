#pragma once

#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "store/incidents.hpp"

namespace csrq::app {

nlohmann::json to_json(const store::IncidentRow& incident);
/// On standard output: a table, or with `json` one array.
void print_incidents(const std::vector<store::IncidentRow>& incidents, bool json);

}  // namespace csrq::app
