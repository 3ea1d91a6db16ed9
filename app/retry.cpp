#include <iostream>

#include "app/command.hpp"
#include "app/environment.hpp"
#include "app/output.hpp"
#include "reports/requests.hpp"
#include "store/requests.hpp"

namespace csrq::app {
namespace {

store::RetrySelection selection_of(const Arguments& arguments) {
  store::RetrySelection selection{.id = std::nullopt,
                                  .domain = arguments.text("domain"),
                                  .customer = arguments.text("customer"),
                                  .everything = arguments.has("everything"),
                                  .failure_class = arguments.text("class"),
                                  .code = arguments.text("code"),
                                  .spread = arguments.duration("spread")};
  if (arguments.positional().size() > 1)
    throw UsageError("name one request, or use --domain, --customer, --class, --code or --everything");
  if (!arguments.positional().empty()) selection.id = parse_request_id(arguments.positional().front());
  const bool by_cause = !selection.failure_class.empty() || !selection.code.empty();
  const int given = int{selection.id.has_value()} + int{!selection.domain.empty()} +
                    int{!selection.customer.empty()} + int{selection.everything};
  if (given > 1 || (given == 0 && !by_cause) || (selection.id && by_cause))
    throw UsageError(
        "say what to retry: an ID, --domain NAME, --customer NAME or --everything, and of those, if you "
        "want, only rows of a --class or --code");
  return selection;
}

std::string sentence_of(const store::RetryReport& report) {
  if (report.rows == 0) return "no row was waiting\n";
  const std::string first = report.first_is_due ? "now" : "at " + report.first_at;
  if (report.rows == 1) return "1 row will be tried again " + first + "\n";
  return std::to_string(report.rows) + " rows will be tried again, " +
         (report.first_at == report.last_at ? "all " + first
                                            : "the first " + first + ", the last at " + report.last_at) +
         "\n";
}

std::string limits_of(const store::RetryReport& report) {
  if (report.limited == 0) return {};
  return (report.rows == 1 ? std::string("it waits") : std::to_string(report.limited) + " of them wait") +
         " for a limit of the CA, which csrq cannot end, until " + report.limited_until + " at the latest\n";
}

Exit run(const Arguments& arguments) {
  const store::RetrySelection selection = selection_of(arguments);
  const auto database = open_database(arguments);
  const store::RetryReport report = store::retry_report(*database, selection);
  if (arguments.json())
    print(reports::object(reports::retry_columns, report).json());
  else
    std::cout << sentence_of(report) << limits_of(report);
  return Exit::done;
}

}  // namespace

const Command retry_command{
    .name = "retry",
    .synopsis = "ID | --domain NAME | --customer NAME | --class CLASS | --code CODE | --everything",
    .summary = "end the wait of failed or waiting rows now",
    .help = R"(
Rows that wait for their next attempt, and rows that failed for good, are tried again at once; more than 100 of them
600 a minute, or as --spread says. A limit of the CA stays: you are told how many rows it concerns and until when.
A row that waits while a worker has it goes on within seconds. An order that its CA does not finish with is closed, and
another one is ordered: at once if you name the row or the code, else where the CA has had ten minutes.
A row whose run_after has not come is left alone, unless you name its ID.
)",
    .describe =
        [](OptionsDescription& options) {
          options.text("domain", "NAME", "rows that name this domain or anything below it")
              .text("customer", "NAME", "rows of this customer")
              .text("class", "CLASS",
                    "rows whose last error is of this class: transient, limited, validation, permanent or "
                    "administrative")
              .text("code", "CODE", "rows whose last error has this code, for example dns")
              .flag("everything", "all rows")
              .text("spread", "DURATION",
                    "spread them evenly over this time, for example 2h; 0s: all at once");
        },
    .run = run,
};

}  // namespace csrq::app
