#include <iostream>

#include "app/command.hpp"
#include "app/each_request.hpp"
#include "app/environment.hpp"
#include "app/output.hpp"
#include "renewals/issuers.hpp"
#include "reports/incidents.hpp"
#include "store/requests.hpp"

namespace csrq::app {
namespace {

Exit renew_each(const Arguments& arguments) {
  for (const char* option : {"customer", "by", "dry-run"})
    if (arguments.has(option))
      throw UsageError("--" + std::string(option) + " is for --issuer and --all-issued-before");
  const std::vector<store::RequestId> ids = arguments.request_ids();
  const auto database = open_database(arguments);
  return for_each_request(ids, arguments.json(), [&](store::RequestId id, reports::JsonObject& document) {
    const bool opened = store::renew(*database, id);
    document.add("opened", opened);
    return std::string(opened ? "renewal is due now" : "work on it is open already");
  });
}

Exit count_all(store::Database& database, const store::IncidentScope& scope, bool as_json) {
  const std::int64_t renewals = store::incident_size(database, scope);
  if (as_json)
    print(reports::JsonObject{{"renewals", renewals}, {"dry_run", true}}.json());
  else
    std::cout << renewals << " certificates would be renewed\n";
  return Exit::done;
}

/// Whoever ends this early leaves the rest to the workers.
Exit renew_all(const Arguments& arguments) {
  arguments.expect_no_positional();
  const store::IncidentScope scope{.issuer = arguments.text("issuer"),
                                   .issued_before = arguments.time("all-issued-before"),
                                   .customer = arguments.text("customer")};
  const std::optional<Time> deadline = arguments.time("by");
  const auto database = open_database(arguments);
  renewals::name_issuers(*database);
  if (arguments.has("dry-run")) return count_all(*database, scope, arguments.json());
  const store::IncidentId id = store::open_incident(*database, scope, deadline);
  while (store::fill_incident(*database, id) > 0) {
  }
  const store::IncidentRow incident = store::incidents(*database, id).at(0);
  if (arguments.json())
    print(reports::object(reports::incident_columns, incident).json());
  else
    std::cout << "incident " << incident.id << ": " << incident.renewals
              << " renewals are due now (`csrq renewals incidents` shows how far they are)\n";
  return Exit::done;
}

Exit run(const Arguments& arguments) {
  if (arguments.has("issuer") || arguments.has("all-issued-before")) return renew_all(arguments);
  return renew_each(arguments);
}

}  // namespace

const Command renew_command{
    .name = "renew",
    .synopsis = "ID… | --issuer NAME | --all-issued-before TIME",
    .summary = "renew issued certificates now, from the same CSR",
    .help = R"(
Puts a renewal of these requests into the queue. Their chains stay until the new ones replace them.

With --issuer or --all-issued-before it is an incident: a CA will revoke these certificates, or must not be trusted
any more. All of them become due, and are renewed within renewal.per_run, renewal.per_hour and the CA's limits, those
first that are revoked or end first. It is written down in bounded transactions; if this command is ended early, the
workers do the rest. `csrq renewals incidents` shows how far it is. Needs csrq_admin.
)",
    .describe =
        [](OptionsDescription& options) {
          options.text("issuer", "NAME", "certificates from the issuing CA with this common name (\"R11\")")
              .text("all-issued-before", "TIME", "certificates issued before then")
              .text("customer", "NAME", "only of this customer")
              .text("by", "TIME", "when the CA revokes them: the most urgent go first")
              .flag("dry-run", "say how many there are, and change nothing");
        },
    .run = run,
};

}  // namespace csrq::app
