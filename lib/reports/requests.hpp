#pragma once

#include "reports/columns.hpp"
#include "store/janitor.hpp"
#include "store/requests.hpp"

namespace csrq::reports {

extern const Columns<store::StatusRow> status_columns;
extern const Columns<store::HistoryRow> history_columns;
extern const Columns<store::RetryReport> retry_columns;

}  // namespace csrq::reports
