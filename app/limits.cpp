#include <iostream>

#include <nlohmann/json.hpp>

#include "app/command.hpp"
#include "app/environment.hpp"
#include "app/json_line.hpp"
#include "app/table.hpp"
#include "store/rate_limits.hpp"

namespace csrq::app {
namespace {

using nlohmann::json;

json to_json(const store::RateLimitLine& line) {
  return {{"ca", text_or_null(line.ca)},
          {"directory", line.directory},
          {"name", line.name},
          {"key", line.key},
          {"customer", text_or_null(line.customer)},
          {"burst", value_or_null(line.burst)},
          {"period", text_or_null(line.period)},
          {"left", value_or_null(line.left)},
          {"next_at", text_or_null(line.next_at)},
          {"held_until", text_or_null(line.held_until)},
          {"waiting", line.waiting},
          {"last_starts_at", text_or_null(line.last_starts_at)},
          {"binds_renewals", value_or_null(line.binds_renewals)},
          {"reason", text_or_null(line.reason)},
          {"renewals", text_or_null(line.renewals)},
          {"source", text_or_null(line.source)}};
}

std::string allowance(const store::RateLimitLine& line) {
  return line.burst ? std::to_string(*line.burst) + " per " + line.period : "-";
}

void print_lines(const std::vector<store::RateLimitLine>& lines) {
  constexpr std::size_t whole_seconds = 19;
  std::vector<std::vector<std::string>> rows;
  rows.reserve(lines.size());
  for (const store::RateLimitLine& line : lines)
    rows.push_back({line.ca.empty() ? line.directory : line.ca, line.name,
                    line.key.empty() ? "(each)" : shortened(line.key, 40), allowance(line),
                    line.left ? std::to_string(*line.left) : "", line.next_at.substr(0, whole_seconds),
                    line.waiting == 0 ? "" : std::to_string(line.waiting),
                    line.last_starts_at.substr(0, whole_seconds), shortened(line.reason, 60)});
  print_table(std::cout,
              {"CA", "LIMIT", "OF", "ALLOWS", "LEFT", "NEXT AT", "WAITING", "LAST STARTS", "THE CA SAID"},
              rows);
}

Exit run(const Arguments& arguments) {
  arguments.expect_no_positional();
  const auto database = open_database(arguments.config());
  const auto lines = store::rate_limits(*database, arguments.text("ca"), arguments.text("customer"));
  if (arguments.json()) {
    json all = json::array();
    for (const store::RateLimitLine& line : lines) all.push_back(to_json(line));
    std::cout << json_line(all);
  } else if (lines.empty()) {
    std::cout << "no limit is known, and no CA has asked to wait\n";
  } else {
    print_lines(lines);
  }
  return Exit::done;
}

}  // namespace

const Command limits_command{
    .name = "limits",
    .synopsis = "",
    .summary = "show what is left of each CA's rate limits",
    .help =
        "A line for each limit of each CA, for each account, domain, set of names or identifier that has "
        "used some of\nit, and for each wait that a CA has asked for; the same as SELECT * FROM "
        "csrq.rate_limits.\nWAITING counts the rows of an account that wait for a new order, LAST STARTS is "
        "when the last of them can start\nat the rate of the limit. docs/limits.md explains the limits and "
        "how to override them.\n",
    .describe =
        [](OptionsDescription& options) {
          options.text("ca", "NAME", "only of this CA")
              .text("customer", "NAME", "only of this customer's accounts");
        },
    .run = run};

}  // namespace csrq::app
