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

json to_json(const store::StatusRow& row) {
  return {{"id", store::number(row.id)},
          {"customer", row.customer},
          {"names", row.names},
          {"state", row.state},
          {"attempts", row.attempts},
          {"failures", row.failures},
          {"next_attempt_at", text_or_null(row.next_attempt_at)},
          {"earliest_issue_at", text_or_null(row.earliest_issue_at)},
          {"error", row.error.empty() ? json() : json::parse(row.error, nullptr, false)},
          {"not_after", text_or_null(row.not_after)},
          {"renew_at", text_or_null(row.renew_at)},
          {"days_left", value_or_null(row.days_left)},
          {"worker", text_or_null(row.worker)},
          {"updated_at", row.updated_at},
          {"replaces", id_or_null(row.replaces)},
          {"replaced_by", id_or_null(row.replaced_by)},
          {"issued_by", text_or_null(row.issued_by)}};
}

void print_one(const store::StatusRow& row) {
  const std::vector<std::pair<const char*, std::string>> fields{
      {"request", std::to_string(store::number(row.id))},
      {"customer", row.customer},
      {"names", names_text(row.names, row.names.size())},
      {"state", row.state},
      {"attempts", std::to_string(row.attempts)},
      {"failures", std::to_string(row.failures)},
      {"next attempt", row.next_attempt_at},
      {"earliest issue", row.earliest_issue_at},
      {"error", error_text(row.error)},
      {"not after", row.not_after},
      {"days left", row.days_left ? std::to_string(*row.days_left) : ""},
      {"renewal", row.renew_at},
      {"issued by", row.issued_by},
      {"worker", row.worker},
      {"updated", row.updated_at},
      {"replaces", id_text(row.replaces)},
      {"replaced by", id_text(row.replaced_by)}};
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

void print_history(const std::vector<store::HistoryRow>& found) {
  constexpr std::size_t gist_width = 120;
  constexpr std::size_t milliseconds = 23;
  std::vector<std::vector<std::string>> rows;
  rows.reserve(found.size());
  for (const store::HistoryRow& row : found)
    rows.push_back(
        {shown_time(row.at, milliseconds), row.what, row.worker, shortened(gist(row.detail), gist_width)});
  print_table(std::cout, {"AT", "WHAT", "WORKER", ""}, rows);
}

json to_json(const std::vector<store::HistoryRow>& found) {
  json all = json::array();
  for (const store::HistoryRow& row : found)
    all.push_back({{"at", row.at},
                   {"what", row.what},
                   {"worker", text_or_null(row.worker)},
                   {"detail", json::parse(row.detail, nullptr, false)}});
  return all;
}

void print_rows(const std::vector<store::StatusRow>& found) {
  constexpr std::size_t names_width = 44;
  constexpr std::size_t error_width = 60;
  std::vector<std::vector<std::string>> rows;
  rows.reserve(found.size());
  for (const store::StatusRow& row : found)
    rows.push_back({std::to_string(store::number(row.id)), shortened(row.customer, 20),
                    names_within(row.names, names_width), row.state,
                    row.days_left ? std::to_string(*row.days_left) : "", shown_time(row.next_attempt_at),
                    shortened(error_text(row.error), error_width)});
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
  const std::vector<store::StatusRow> found = store::status(*database, filter);
  if (filter.id && found.empty()) {
    std::cerr << "csrq: there is no request " << store::number(*filter.id)
              << " (or this login may not see it)\n";
    return Exit::some_failed;
  }
  const bool wants_history = arguments.has("history");
  if (wants_history && !filter.id) throw UsageError("--history is of one request: name its ID");
  const auto history =
      wants_history ? store::history(*database, *filter.id) : std::vector<store::HistoryRow>{};
  if (arguments.json()) {
    json all = json::array();
    for (const store::StatusRow& row : found) all.push_back(to_json(row));
    if (wants_history) all.front()["history"] = to_json(history);
    std::cout << json_line(all);
    return Exit::done;
  }
  if (filter.id) {
    print_one(found.front());
    if (wants_history) {
      std::cout << "\n";
      print_history(history);
    }
    return Exit::done;
  }
  if (!found.empty()) print_rows(found);
  if (filter.domain.empty() && filter.customer.empty())
    print_summary(*database);
  else if (found.empty())
    std::cout << "no requests\n";
  if (found.size() == static_cast<std::size_t>(filter.limit))
    std::cout << "(the first " << filter.limit << "; --limit shows more)\n";
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
              .flag("history", "with an ID: all that has happened to it, in order")
              .text("limit", "N", "at most so many lines (default 1000)");
        },
    .run = run,
};

}  // namespace csrq::app
