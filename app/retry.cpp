#include <iostream>

#include <nlohmann/json.hpp>

#include "app/command.hpp"
#include "app/environment.hpp"
#include "store/requests.hpp"

namespace csrq::app {
namespace {

store::RetrySelection selection_of(const Arguments& arguments) {
  store::RetrySelection selection{.id = std::nullopt,
                                  .domain = arguments.text("domain"),
                                  .customer = arguments.text("customer"),
                                  .everything = arguments.has("everything"),
                                  .spread = arguments.duration("spread").value_or(Duration{})};
  if (arguments.positional().size() > 1)
    throw UsageError("name one request, or use --domain, --customer or --everything");
  if (!arguments.positional().empty()) selection.id = parse_request_id(arguments.positional().front());
  const int given = int{selection.id.has_value()} + int{!selection.domain.empty()} +
                    int{!selection.customer.empty()} + int{selection.everything};
  if (given != 1)
    throw UsageError("say what to retry: an ID, --domain NAME, --customer NAME or --everything");
  return selection;
}

Exit run(const Arguments& arguments) {
  const store::RetrySelection selection = selection_of(arguments);
  const auto database = open_database(arguments.config());
  const std::int64_t rows = store::retry(*database, selection);
  if (arguments.json())
    std::cout << nlohmann::json{{"rows", rows}}.dump() << "\n";
  else if (rows == 0)
    std::cout << "no row was waiting\n";
  else
    std::cout << rows << (rows == 1 ? " row is due now\n" : " rows are due now\n");
  return Exit::done;
}

}  // namespace

const Command retry_command{
    .name = "retry",
    .synopsis = "ID | --domain NAME | --customer NAME | --everything",
    .summary = "end the wait of failed or waiting rows now",
    .help =
        "Rows that wait for their next attempt, and rows that failed for good, are tried again at once.\n",
    .describe =
        [](OptionsDescription& options) {
          options.text("domain", "NAME", "rows that name this domain or anything below it")
              .text("customer", "NAME", "rows of this customer")
              .flag("everything", "all rows")
              .text("spread", "DURATION", "spread them evenly over this time, for example 2h");
        },
    .run = run};

}  // namespace csrq::app
