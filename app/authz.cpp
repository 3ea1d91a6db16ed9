#include <iostream>

#include <nlohmann/json.hpp>

#include "app/command.hpp"
#include "app/environment.hpp"
#include "app/json_line.hpp"
#include "app/table.hpp"
#include "base/printable.hpp"
#include "issuance/sweep.hpp"

namespace csrq::app {
namespace {

using nlohmann::json;

std::string ids_text(const std::vector<std::int64_t>& ids) {
  std::string text;
  for (const std::int64_t id : ids) text += (text.empty() ? "" : " ") + std::to_string(id);
  return text;
}

json to_json(const store::PendingAuthorization& row) {
  return {{"id", store::number(row.id)},
          {"ca", row.ca},
          {"customer", row.customer},
          {"identifier", row.identifier},
          {"created_at", row.created_at},
          {"expires_at", row.expires_at},
          {"needed_by", row.needed_by},
          {"disposition", row.disposition},
          {"disposition_at", row.disposition_at},
          {"url", row.url}};
}

void print_rows(const std::vector<store::PendingAuthorization>& pending) {
  std::vector<std::vector<std::string>> rows;
  rows.reserve(pending.size());
  for (const auto& row : pending)
    rows.push_back({std::to_string(store::number(row.id)), row.ca, shortened(row.customer, 20),
                    shortened(row.identifier, 40), shown_time(row.created_at), ids_text(row.needed_by),
                    row.disposition, shown_time(row.disposition_at)});
  print_table(std::cout,
              {"ID", "CA", "CUSTOMER", "IDENTIFIER", "SEEN", "NEEDED BY", "WHAT WILL HAPPEN", "NOT BEFORE"},
              rows);
}

Exit list(const Arguments& arguments) {
  const auto database = open_database(arguments.config());
  const auto pending = store::pending_authorizations(*database, arguments.text("customer"));
  if (arguments.json()) {
    json all = json::array();
    for (const auto& row : pending) all.push_back(to_json(row));
    std::cout << json_line(all);
  } else if (pending.empty()) {
    std::cout << "no pending authorizations\n";
  } else {
    print_rows(pending);
  }
  return Exit::done;
}

store::SweepScope scope_of(const Arguments& arguments) {
  store::SweepScope scope{
      .directories = {}, .customer = arguments.text("customer"), .valid = arguments.has("valid")};
  if (scope.valid && scope.customer.empty())
    throw UsageError("--valid is for a customer that leaves: name it with --customer");
  return scope;
}

Exit preview(const Arguments& arguments, const store::SweepScope& scope) {
  const auto database = open_database(arguments.config());
  const auto found = store::to_settle(*database, scope);
  if (arguments.json()) {
    json all = json::array();
    for (const auto& one : found)
      all.push_back({{"id", store::number(one.id)},
                     {"customer", one.customer},
                     {"identifier", one.identifier},
                     {"url", one.url}});
    std::cout << json_line(all);
    return Exit::done;
  }
  for (const auto& one : found)
    std::cout << printable(one.identifier + " of " + one.customer + ": " + one.url) << "\n";
  std::cout << found.size() << " would be deactivated, as far as the hourly budget allows\n";
  return Exit::done;
}

Exit sweep(const Arguments& arguments) {
  const store::SweepScope scope = scope_of(arguments);
  if (arguments.has("dry-run")) return preview(arguments, scope);
  const Config config = arguments.config();
  IssuingEnvironment environment(config);
  store::set_ca_policies(*environment.database, environment.cas.configs());
  const issuance::SweepTally tally =
      issuance::sweep(*environment.database, environment.cas, environment.accounts, scope);
  if (arguments.json())
    std::cout << json_line({{"deactivated", tally.deactivated}, {"over", tally.over}, {"left", tally.left}});
  else
    std::cout << tally.deactivated << " deactivated, " << tally.over << " were over already, " << tally.left
              << " could not be deactivated\n";
  return tally.left > 0 ? Exit::some_failed : Exit::done;
}

Exit run(const Arguments& arguments) {
  const std::vector<std::string>& words = arguments.positional();
  if (words.size() == 1 && words.front() == "list") return list(arguments);
  if (words.size() == 1 && words.front() == "sweep") return sweep(arguments);
  throw UsageError("say what to do: `csrq authz list` or `csrq authz sweep`");
}

}  // namespace

const Command authz_command{
    .name = "authz",
    .synopsis = "list | sweep",
    .summary = "show pending authorizations, settle those that no order needs",
    .help = R"(
list   what is pending at CAs, which requests need it, and what will happen to it; the same as
       SELECT * FROM csrq.pending_authorizations
sweep  deactivates the pending ones that no open order needs, within the hourly budget of each identifier.
       Workers do that by themselves every half minute. With --valid: the valid ones of a customer that leaves.
)",
    .describe =
        [](OptionsDescription& options) {
          options.text("customer", "NAME", "only of this customer")
              .flag("valid",
                    "sweep: the customer's valid authorizations instead; they are free to deactivate")
              .flag("dry-run", "sweep: only say what would be deactivated");
        },
    .run = run,
};

}  // namespace csrq::app
