#include "reports/renewals.hpp"

namespace csrq::reports {
namespace {

using store::RenewalDay;

constexpr Column<RenewalDay> of_days[]{{.name = "day", .value = text<&RenewalDay::day>},
                                       {.name = "renewals", .value = number<&RenewalDay::renewals>},
                                       {.name = "moved", .value = number<&RenewalDay::moved>}};

}  // namespace

const Columns<RenewalDay> renewal_day_columns = of_days;

}  // namespace csrq::reports
