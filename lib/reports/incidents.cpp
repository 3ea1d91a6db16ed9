#include "reports/incidents.hpp"

namespace csrq::reports {
namespace {

using store::IncidentRow;

constexpr std::size_t scope_width = 90;

/// "by R11, issued before 2026-11-25 10:00:00, of acme"
Value scope(const IncidentRow& incident) {
  if (!incident.directory.empty()) return "windows moved into the past by " + incident.directory;
  std::string scope = "issued before " + shown_time(incident.issued_before);
  if (!incident.issuer.empty()) scope = "by " + incident.issuer + ", " + scope;
  if (!incident.customer.empty()) scope += ", of " + incident.customer;
  return scope;
}

Value renewals_found(const IncidentRow& incident) {
  return std::to_string(incident.renewals) + (incident.is_complete ? "" : "…");
}

constexpr Column<IncidentRow> of_incidents[]{
    {.name = "id", .heading = "ID", .value = number<&IncidentRow::id>},
    {.name = "opened_at", .value = time<&IncidentRow::opened_at>},
    {.name = "opened_by", .value = text<&IncidentRow::opened_by>},
    {.name = "issuer", .value = optional_text<&IncidentRow::issuer>},
    {.name = "issued_before", .value = time<&IncidentRow::issued_before>},
    {.name = "customer", .value = optional_text<&IncidentRow::customer>},
    {.name = "directory", .value = optional_text<&IncidentRow::directory>},
    {.heading = "CERTIFICATES", .value = scope, .widest = scope_width},
    {.name = "is_complete", .value = flag<&IncidentRow::is_complete>},
    {.name = "renewals", .value = number<&IncidentRow::renewals>},
    {.heading = "OF", .value = renewals_found},
    {.name = "done", .heading = "DONE", .value = number<&IncidentRow::done>},
    {.name = "failing", .heading = "FAILING", .value = number<&IncidentRow::failing>},
    {.name = "dropped", .value = number<&IncidentRow::dropped>},
    {.name = "left", .heading = "LEFT", .value = number<&IncidentRow::left>},
    {.name = "deadline",
     .heading = "REVOKED AT",
     .value = time<&IncidentRow::deadline>,
     .widest = to_the_second},
    {.name = "estimated_end",
     .heading = "ESTIMATED END",
     .value = time<&IncidentRow::estimated_end>,
     .widest = to_the_second}};

}  // namespace

const Columns<IncidentRow> incident_columns = of_incidents;

}  // namespace csrq::reports
