#pragma once

#include "reports/columns.hpp"
#include "store/renewals.hpp"

namespace csrq::reports {

extern const Columns<store::RenewalDay> renewal_day_columns;

}  // namespace csrq::reports
