#pragma once

#include "reports/columns.hpp"
#include "store/rate_limits.hpp"

namespace csrq::reports {

extern const Columns<store::RateLimitRow> rate_limit_columns;
extern const Columns<store::ForgottenLimits> forgotten_limit_columns;

}  // namespace csrq::reports
