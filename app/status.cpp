#include <iostream>

#include "app/command.hpp"
#include "app/environment.hpp"
#include "app/output.hpp"
#include "reports/requests.hpp"
#include "store/janitor.hpp"
#include "store/requests.hpp"

namespace csrq::app {
namespace {

store::StatusFilter filter_of(const Arguments& arguments) {
  store::StatusFilter filter{
      .id = std::nullopt, .domain = arguments.text("domain"), .customer = arguments.text("customer")};
  if (arguments.positional().size() > 1) throw UsageError("name one request, or none");
  if (!arguments.positional().empty()) filter.id = parse_request_id(arguments.positional().front());
  if (const auto limit = arguments.number("limit"))
    filter.limit = static_cast<int>(std::min<std::int64_t>(*limit, 1'000'000));
  return filter;
}

void print_summary(store::Database& database) {
  const auto counts = store::count_by_state(database);
  std::string text;
  for (const auto& [state, count] : counts)
    text += (text.empty() ? "" : ", ") + std::to_string(count) + " " + state;
  std::cout << (text.empty() ? "no requests yet" : "in all: " + text) << "\n";
}

Exit show_one(const Arguments& arguments, store::Database& database, const store::StatusRow& row) {
  const bool wants_history = arguments.has("history");
  const auto history = wants_history ? store::history(database, row.id) : std::vector<store::HistoryRow>{};
  if (arguments.json()) {
    reports::JsonObject document = reports::object(reports::status_columns, row);
    if (wants_history) document.add("history", reports::json(reports::history_columns, history));
    print(reports::array_of({document.json()}));
    return Exit::done;
  }
  std::cout << reports::card(reports::status_columns, row);
  if (wants_history) std::cout << "\n" << reports::table(reports::history_columns, history);
  return Exit::done;
}

Exit show_all(const store::StatusFilter& filter, store::Database& database,
              const std::vector<store::StatusRow>& rows) {
  if (!rows.empty()) std::cout << reports::table(reports::status_columns, rows);
  if (filter.domain.empty() && filter.customer.empty())
    print_summary(database);
  else if (rows.empty())
    std::cout << "no requests\n";
  if (rows.size() == static_cast<std::size_t>(filter.limit))
    std::cout << "(the first " << filter.limit << "; --limit shows more)\n";
  return Exit::done;
}

Exit run(const Arguments& arguments) {
  const store::StatusFilter filter = filter_of(arguments);
  if (arguments.has("history") && !filter.id) throw UsageError("--history is of one request: name its ID");
  if (arguments.has("csv") && (arguments.json() || arguments.has("history")))
    throw UsageError("--csv goes with neither --json nor --history");
  const auto database = open_for_reading(arguments);
  const std::vector<store::StatusRow> rows = store::status(*database, filter);
  if (filter.id && rows.empty()) {
    std::cerr << "csrq: there is no request " << store::number(*filter.id)
              << " (or this login may not see it)\n";
    return Exit::some_failed;
  }
  if (arguments.has("csv")) {
    std::cout << reports::csv(reports::status_columns, rows);
    return Exit::done;
  }
  if (filter.id) return show_one(arguments, *database, rows.front());
  if (!arguments.json()) return show_all(filter, *database, rows);
  print(reports::json(reports::status_columns, rows));
  return Exit::done;
}

}  // namespace

const Command status_command{
    .name = "status",
    .synopsis = "[ID | --domain NAME | --customer NAME]",
    .summary = "show requests and what happens next with each",
    .help = R"(
Without arguments all requests, newest first. The same as SELECT * FROM csrq.status.
)",
    .describe =
        [](OptionsDescription& options) {
          options.text("domain", "NAME", "requests that name this domain or anything below it")
              .text("customer", "NAME", "requests of this customer")
              .flag("csv", "print CSV (RFC 4180) under the column names of csrq.status")
              .flag("history", "with an ID: all that has happened to it, in order")
              .text("limit", "N", "at most so many lines (default 1000)");
        },
    .run = run,
};

}  // namespace csrq::app
