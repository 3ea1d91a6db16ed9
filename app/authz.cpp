#include <iostream>

#include "app/command.hpp"
#include "app/environment.hpp"
#include "app/output.hpp"
#include "base/printable.hpp"
#include "cas/put_in_force.hpp"
#include "config/config.hpp"
#include "issuance/sweep.hpp"
#include "reports/authorizations.hpp"

namespace csrq::app {
namespace {

Exit list(const Arguments& arguments) {
  const auto database = open_database(arguments);
  print_rows(arguments, reports::pending_authorization_columns,
             store::pending_authorizations(*database, arguments.text("customer")),
             "no pending authorizations");
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
  const auto database = open_database(arguments);
  const auto found = store::to_settle(*database, scope);
  if (arguments.json()) {
    print(reports::json(reports::authorization_to_settle_columns, found));
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
  cas::put_policies_in_force(*environment.database, environment.cas);
  const issuance::SweepTally tally =
      issuance::sweep(*environment.database, environment.cas, environment.accounts, scope);
  if (arguments.json())
    print(reports::JsonObject{{"deactivated", tally.deactivated}, {"over", tally.over}, {"left", tally.left}}
              .json());
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
