#include "reports/authorizations.hpp"

namespace csrq::reports {
namespace {

using store::AuthorizationToSettle;
using store::PendingAuthorization;

constexpr std::size_t customer_width = 20;
constexpr std::size_t identifier_width = 40;

constexpr Column<PendingAuthorization> of_pending[]{
    {.name = "id", .heading = "ID", .value = number<&PendingAuthorization::id>},
    {.name = "ca", .heading = "CA", .value = text<&PendingAuthorization::ca>},
    {.name = "customer",
     .heading = "CUSTOMER",
     .value = text<&PendingAuthorization::customer>,
     .widest = customer_width},
    {.name = "identifier",
     .heading = "IDENTIFIER",
     .value = text<&PendingAuthorization::identifier>,
     .widest = identifier_width},
    {.name = "created_at",
     .heading = "SEEN",
     .value = time<&PendingAuthorization::created_at>,
     .widest = to_the_second},
    {.name = "expires_at", .value = time<&PendingAuthorization::expires_at>},
    {.name = "needed_by", .heading = "NEEDED BY", .value = list<&PendingAuthorization::needed_by>},
    {.name = "disposition", .heading = "WHAT WILL HAPPEN", .value = text<&PendingAuthorization::disposition>},
    {.name = "disposition_at",
     .heading = "NOT BEFORE",
     .value = time<&PendingAuthorization::disposition_at>,
     .widest = to_the_second},
    {.name = "url", .value = text<&PendingAuthorization::url>}};

constexpr Column<AuthorizationToSettle> of_to_settle[]{
    {.name = "id", .value = number<&AuthorizationToSettle::id>},
    {.name = "customer", .value = text<&AuthorizationToSettle::customer>},
    {.name = "identifier", .value = text<&AuthorizationToSettle::identifier>},
    {.name = "url", .value = text<&AuthorizationToSettle::url>}};

}  // namespace

const Columns<PendingAuthorization> pending_authorization_columns = of_pending;
const Columns<AuthorizationToSettle> authorization_to_settle_columns = of_to_settle;

}  // namespace csrq::reports
