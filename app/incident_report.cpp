#include "app/incident_report.hpp"

#include <iostream>

#include <nlohmann/json.hpp>

#include "app/json_line.hpp"
#include "app/table.hpp"

namespace csrq::app {
namespace {

/// "by R11, issued before 2026-11-25 10:00:00, of acme"
std::string scope_of(const store::IncidentRow& incident) {
  if (!incident.directory.empty()) return "windows moved into the past by " + incident.directory;
  std::string scope = "issued before " + shown_time(incident.issued_before);
  if (!incident.issuer.empty()) scope = "by " + incident.issuer + ", " + scope;
  if (!incident.customer.empty()) scope += ", of " + incident.customer;
  return scope;
}

}  // namespace

nlohmann::json to_json(const store::IncidentRow& incident) {
  return {{"id", incident.id},
          {"opened_at", incident.opened_at},
          {"opened_by", incident.opened_by},
          {"issuer", text_or_null(incident.issuer)},
          {"issued_before", incident.issued_before},
          {"customer", text_or_null(incident.customer)},
          {"deadline", text_or_null(incident.deadline)},
          {"is_complete", incident.is_complete},
          {"renewals", incident.renewals},
          {"done", incident.done},
          {"failing", incident.failing},
          {"dropped", incident.dropped},
          {"left", incident.left},
          {"estimated_end", text_or_null(incident.estimated_end)},
          {"directory", text_or_null(incident.directory)}};
}

void print_incidents(const std::vector<store::IncidentRow>& incidents, bool json) {
  if (json) {
    nlohmann::json all = nlohmann::json::array();
    for (const store::IncidentRow& incident : incidents) all.push_back(to_json(incident));
    std::cout << json_line(all);
    return;
  }
  if (incidents.empty()) {
    std::cout << "there has been no incident\n";
    return;
  }
  std::vector<std::vector<std::string>> rows;
  rows.reserve(incidents.size());
  for (const store::IncidentRow& incident : incidents)
    rows.push_back({std::to_string(incident.id), shortened(scope_of(incident), 90),
                    std::to_string(incident.renewals) + (incident.is_complete ? "" : "…"),
                    std::to_string(incident.done), std::to_string(incident.failing),
                    std::to_string(incident.left), shown_time(incident.deadline),
                    shown_time(incident.estimated_end)});
  print_table(std::cout,
              {"ID", "CERTIFICATES", "OF", "DONE", "FAILING", "LEFT", "REVOKED AT", "ESTIMATED END"}, rows);
}

}  // namespace csrq::app
