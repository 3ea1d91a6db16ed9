#include "reports/limits.hpp"

#include <iostream>

#include "app/command.hpp"
#include "app/environment.hpp"
#include "app/output.hpp"
#include "store/rate_limits.hpp"

namespace csrq::app {
namespace {

std::string counted(std::int64_t count, const std::string& one, const std::string& many) {
  return std::to_string(count) + " " + (count == 1 ? one : many);
}

std::string sentence_of(const store::ForgottenLimits& forgotten) {
  if (forgotten.forgotten == 0) return "no CA has asked to wait there, and nothing was learnt of it\n";
  return counted(forgotten.forgotten, "wait or learnt limit is forgotten; ",
                 "waits and learnt limits are forgotten; ") +
         counted(forgotten.rows, "row looks again", "rows look again") +
         (forgotten.rows > 1 ? ", the last at " + forgotten.last_at : "") + "\n";
}

/// `forget SCOPE KEY|--all`. The key of an identifier is two words.
store::LimitSelection selection_of(const Arguments& arguments) {
  const std::vector<std::string>& words = arguments.positional();
  const bool all = arguments.has("all");
  store::LimitSelection selection{.ca = arguments.text("ca")};
  if (words.size() > 1) selection.scope = words[1];
  for (std::size_t i = 2; i < words.size(); ++i) selection.key += (i > 2 ? " " : "") + words[i];
  const bool is_of_ca = selection.scope == "ca" || selection.scope == "address" ||
                        selection.scope == "new_accounts_per_address";
  if (all ? !selection.scope.empty() : selection.scope.empty() || (selection.key.empty() && !is_of_ca))
    throw UsageError("say what to forget: SCOPE KEY, as `csrq limits` shows them, or --all");
  if (arguments.has("customer")) throw UsageError("--customer is not for `csrq limits forget`");
  return selection;
}

Exit forget(const Arguments& arguments) {
  const store::LimitSelection selection = selection_of(arguments);
  const auto database = open_database(arguments);
  const store::ForgottenLimits forgotten = store::forget_limits(*database, selection);
  if (arguments.json())
    print(reports::object(reports::forgotten_limit_columns, forgotten).json());
  else
    std::cout << sentence_of(forgotten);
  return forgotten.forgotten > 0 ? Exit::done : Exit::some_failed;
}

Exit run(const Arguments& arguments) {
  if (!arguments.positional().empty() && arguments.positional().front() == "forget") return forget(arguments);
  arguments.expect_no_positional();
  if (arguments.has("all")) throw UsageError("--all is for `csrq limits forget`");
  const auto database = open_database(arguments);
  print_rows(arguments, reports::rate_limit_columns,
             store::rate_limits(*database, arguments.text("ca"), arguments.text("customer")),
             "no limit is known, and no CA has asked to wait");
  return Exit::done;
}

}  // namespace

const Command limits_command{
    .name = "limits",
    .synopsis = "[forget SCOPE KEY | forget --all]",
    .summary = "show what is left of each CA's rate limits; forget a wait",
    .help = R"(
A line for each limit of each CA, for each account, domain, set of names or identifier that has used some of
it, and for each wait that a CA has asked for; the same as SELECT * FROM csrq.rate_limits.
WAITING counts the rows of an account that wait for a new order, LAST STARTS is when the last of them can start
at the rate of the limit. docs/limits.md explains the limits and how to override them.

  csrq limits forget account 12
  csrq limits forget registered_domain example.org
  csrq limits forget identifier 12 www.example.org      a name, under account 12; or of all accounts
  csrq limits forget ca letsencrypt
  csrq limits forget --all --ca letsencrypt

`forget` ends a wait that a CA has asked for, or a pause of a name, as if it had never been, and what csrq has learnt
from such refusals. SCOPE is ca, address (new accounts), account, registered_domain, name_set or identifier, or the
LIMIT shown; KEY is what stands below OF. Rows that waited look again, more than 100 of them 600 a minute. If the CA
still refuses, it says so again. Needs a login in csrq_admin. Ends with 1 if there was nothing to forget.
)",
    .describe =
        [](OptionsDescription& options) {
          options.text("ca", "NAME", "only of this CA")
              .text("customer", "NAME", "only of this customer's accounts")
              .flag("all", "forget whatever CAs have asked for");
        },
    .run = run,
};

}  // namespace csrq::app
