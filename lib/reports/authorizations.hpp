#pragma once

#include "reports/columns.hpp"
#include "store/janitor.hpp"

namespace csrq::reports {

extern const Columns<store::PendingAuthorization> pending_authorization_columns;
extern const Columns<store::AuthorizationToSettle> authorization_to_settle_columns;

}  // namespace csrq::reports
