#include <iostream>

#include <nlohmann/json.hpp>

#include "app/command.hpp"
#include "app/environment.hpp"
#include "app/json_line.hpp"
#include "app/table.hpp"
#include "store/janitor.hpp"
#include "store/requests.hpp"

namespace csrq::app {
namespace {

using nlohmann::json;

std::string names_text(const std::vector<std::string>& names, std::size_t most) {
  std::string text;
  for (std::size_t i = 0; i < std::min(names.size(), most); ++i) text += (i == 0 ? "" : " ") + names[i];
  if (names.size() > most) text += " +" + std::to_string(names.size() - most);
  return text;
}

/// Two names if there is room for them, else one; how many more there are is always to be seen.
std::string names_within(const std::vector<std::string>& names, std::size_t width) {
  const std::string two = names_text(names, 2);
  return two.size() <= width ? two : shortened(names_text(names, 1), width);
}

std::string error_text(const std::string& error) {
  const json document = json::parse(error, nullptr, false);
  if (!document.is_object()) return {};
  const auto member = [&](const char* name) {  // a CA's document may hold anything there
    const auto found = document.find(name);
    return found != document.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  return member("code") + ": " + member("detail");
}

json id_or_null(const std::optional<store::RequestId>& id) {
  return id ? json(store::number(*id)) : json();
}

std::string id_text(const std::optional<store::RequestId>& id) {
  return id ? "request " + std::to_string(store::number(*id)) : std::string();
}

json to_json(const store::StatusLine& line) {
  return {{"id", store::number(line.id)},
          {"customer", line.customer},
          {"names", line.names},
          {"state", line.state},
          {"attempts", line.attempts},
          {"failures", line.failures},
          {"next_attempt_at", text_or_null(line.next_attempt_at)},
          {"earliest_issue_at", text_or_null(line.earliest_issue_at)},
          {"error", line.error.empty() ? json() : json::parse(line.error, nullptr, false)},
          {"not_after", text_or_null(line.not_after)},
          {"renew_at", text_or_null(line.renew_at)},
          {"days_left", value_or_null(line.days_left)},
          {"worker", text_or_null(line.worker)},
          {"updated_at", line.updated_at},
          {"replaces", id_or_null(line.replaces)},
          {"replaced_by", id_or_null(line.replaced_by)},
          {"issued_by", text_or_null(line.issued_by)}};
}

void print_one(const store::StatusLine& line) {
  const std::vector<std::pair<const char*, std::string>> fields{
      {"request", std::to_string(store::number(line.id))},
      {"customer", line.customer},
      {"names", names_text(line.names, line.names.size())},
      {"state", line.state},
      {"attempts", std::to_string(line.attempts)},
      {"failures", std::to_string(line.failures)},
      {"next attempt", line.next_attempt_at},
      {"earliest issue", line.earliest_issue_at},
      {"error", error_text(line.error)},
      {"not after", line.not_after},
      {"days left", line.days_left ? std::to_string(*line.days_left) : ""},
      {"renewal", line.renew_at},
      {"issued by", line.issued_by},
      {"worker", line.worker},
      {"updated", line.updated_at},
      {"replaces", id_text(line.replaces)},
      {"replaced by", id_text(line.replaced_by)}};
  std::vector<std::vector<std::string>> rows;
  for (const auto& [name, value] : fields)
    if (!value.empty()) rows.push_back({std::string(name) + ":", value});
  const std::vector<std::string> first = rows.front();
  rows.erase(rows.begin());
  print_table(std::cout, first, rows);
}

/// What the eye looks for first in an event's detail.
std::string gist(const std::string& detail) {
  const json document = json::parse(detail, nullptr, false);
  if (!document.is_object()) return {};
  if (const auto error = document.find("error"); error != document.end() && error->is_object())
    return error_text(error->dump());
  std::string text;
  for (const auto& [name, value] : document.items())
    text += (text.empty() ? "" : "  ") + name + "=" +
            (value.is_string() ? value.get<std::string>() : value.dump());
  return text;
}

void print_history(const std::vector<store::HistoryLine>& lines) {
  constexpr std::size_t gist_width = 120;
  constexpr std::size_t milliseconds = 23;
  std::vector<std::vector<std::string>> rows;
  rows.reserve(lines.size());
  for (const store::HistoryLine& line : lines)
    rows.push_back({shown_time(line.at, milliseconds), line.what, line.worker,
                    shortened(gist(line.detail), gist_width)});
  print_table(std::cout, {"AT", "WHAT", "WORKER", ""}, rows);
}

json to_json(const std::vector<store::HistoryLine>& lines) {
  json all = json::array();
  for (const store::HistoryLine& line : lines)
    all.push_back({{"at", line.at},
                   {"what", line.what},
                   {"worker", text_or_null(line.worker)},
                   {"detail", json::parse(line.detail, nullptr, false)}});
  return all;
}

void print_lines(const std::vector<store::StatusLine>& lines) {
  constexpr std::size_t names_width = 44;
  constexpr std::size_t error_width = 60;
  std::vector<std::vector<std::string>> rows;
  rows.reserve(lines.size());
  for (const store::StatusLine& line : lines)
    rows.push_back({std::to_string(store::number(line.id)), shortened(line.customer, 20),
                    names_within(line.names, names_width), line.state,
                    line.days_left ? std::to_string(*line.days_left) : "", shown_time(line.next_attempt_at),
                    shortened(error_text(line.error), error_width)});
  print_table(std::cout, {"ID", "CUSTOMER", "NAMES", "STATE", "DAYS", "NEXT ATTEMPT", "ERROR"}, rows);
}

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

Exit run(const Arguments& arguments) {
  const store::StatusFilter filter = filter_of(arguments);
  const auto database = open_for_reading(arguments.config());
  const std::vector<store::StatusLine> lines = store::status(*database, filter);
  if (filter.id && lines.empty()) {
    std::cerr << "csrq: there is no request " << store::number(*filter.id)
              << " (or this login may not see it)\n";
    return Exit::some_failed;
  }
  const bool wants_history = arguments.has("history");
  if (wants_history && !filter.id) throw UsageError("--history is of one request: name its ID");
  const auto history =
      wants_history ? store::history(*database, *filter.id) : std::vector<store::HistoryLine>{};
  if (arguments.json()) {
    json all = json::array();
    for (const store::StatusLine& line : lines) all.push_back(to_json(line));
    if (wants_history) all.front()["history"] = to_json(history);
    std::cout << json_line(all);
    return Exit::done;
  }
  if (filter.id) {
    print_one(lines.front());
    if (wants_history) {
      std::cout << "\n";
      print_history(history);
    }
    return Exit::done;
  }
  if (!lines.empty()) print_lines(lines);
  if (filter.domain.empty() && filter.customer.empty())
    print_summary(*database);
  else if (lines.empty())
    std::cout << "no requests\n";
  if (lines.size() == static_cast<std::size_t>(filter.limit))
    std::cout << "(the first " << filter.limit << "; --limit shows more)\n";
  return Exit::done;
}

}  // namespace

const Command status_command{
    .name = "status",
    .synopsis = "[ID | --domain NAME | --customer NAME]",
    .summary = "show requests and what happens next with each",
    .help = "Without arguments all requests, newest first. The same as SELECT * FROM csrq.status.\n",
    .describe =
        [](OptionsDescription& options) {
          options.text("domain", "NAME", "requests that name this domain or anything below it")
              .text("customer", "NAME", "requests of this customer")
              .flag("history", "with an ID: all that has happened to it, in order")
              .text("limit", "N", "at most so many lines (default 1000)");
        },
    .run = run};

}  // namespace csrq::app
