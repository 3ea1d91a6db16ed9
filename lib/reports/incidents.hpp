#pragma once

#include "reports/columns.hpp"
#include "store/incidents.hpp"

namespace csrq::reports {

extern const Columns<store::IncidentRow> incident_columns;

}  // namespace csrq::reports
