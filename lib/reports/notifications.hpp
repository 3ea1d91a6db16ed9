#pragma once

#include "reports/columns.hpp"
#include "store/notifications.hpp"

namespace csrq::reports {

extern const Columns<store::OpenAlarm> alarm_columns;
extern const Columns<store::Undelivered> undelivered_columns;

}  // namespace csrq::reports
