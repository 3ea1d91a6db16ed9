#include "reports/renewals.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <map>

#include "app/command.hpp"
#include "app/environment.hpp"
#include "app/output.hpp"
#include "app/renewal_chart.hpp"
#include "reports/incidents.hpp"

namespace csrq::app {
namespace {

using store::RenewalDay;
using store::RenewalMove;
using Plan = std::vector<RenewalDay>;

constexpr std::int64_t default_plan_days = 60;
constexpr std::int64_t longest_plan = 1000;
constexpr std::int64_t longest_spread = 90;

int days_of(const Arguments& arguments, std::int64_t days, std::int64_t most) {
  if (days <= most) return static_cast<int>(days);
  throw UsageError("--days is at most " + std::to_string(most) + " here, not " + arguments.text("days"));
}

std::size_t terminal_width() {
  constexpr std::size_t otherwise = 100;
  winsize size{};
  return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : otherwise;
}

std::int64_t total(const Plan& plan) {
  std::int64_t sum = 0;
  for (const RenewalDay& day : plan) sum += day.renewals;
  return sum;
}

std::string peak_text(const Plan& plan) {
  const RenewalDay& heaviest = heaviest_day(plan);
  return std::to_string(heaviest.renewals) + " on " + heaviest.day;
}

void print_chart(const Plan& plan) {
  if (total(plan) == 0) {
    std::cout << "no renewals are planned for the next " << plan.size() << " days\n";
    return;
  }
  std::cout << bar_chart(plan, terminal_width()) << total(plan) << " renewals in " << plan.size()
            << " days; the heaviest day has " << peak_text(plan) << "\n";
}

Exit plan(const Arguments& arguments) {
  const int days = days_of(arguments, arguments.number("days").value_or(default_plan_days), longest_plan);
  if (arguments.has("dry-run")) throw UsageError("--dry-run is for `csrq renewals spread`");
  const auto database = open_database(arguments);
  const Plan found = store::renewal_plan(*database, days);
  if (arguments.has("svg"))
    std::cout << svg_chart(found);
  else if (arguments.json())
    print(reports::json(reports::renewal_day_columns, found));
  else
    print_chart(found);
  return Exit::done;
}

Plan with_moves(Plan plan, const std::vector<RenewalMove>& moves) {
  std::map<std::string, RenewalDay*> days;
  for (RenewalDay& day : plan) days[day.day] = &day;
  for (const RenewalMove& move : moves) {
    if (const auto from = days.find(move.from); from != days.end()) from->second->renewals -= move.renewals;
    if (const auto to = days.find(move.to); to != days.end()) {
      to->second->renewals += move.renewals;
      to->second->moved += move.renewals;
    }
  }
  return plan;
}

void report_spread(const Arguments& arguments, std::int64_t moved, const Plan& before, const Plan& after) {
  const bool dry_run = arguments.has("dry-run");
  if (arguments.json()) {
    print(reports::JsonObject{{"moved", moved},
                              {"dry_run", dry_run},
                              {"heaviest_before", heaviest_day(before).renewals},
                              {"heaviest_after", heaviest_day(after).renewals},
                              {"days", reports::json(reports::renewal_day_columns, after)}}
              .json());
    return;
  }
  if (dry_run) print_chart(after);
  if (moved == 0)
    std::cout << "nothing to move: the load is as level as it can be\n";
  else
    std::cout << moved << (dry_run ? " renewals would be moved" : " renewals moved")
              << " ahead; the heaviest day: " << peak_text(before) << " before, " << peak_text(after)
              << " after\n";
}

Exit spread(const Arguments& arguments) {
  const auto wanted = arguments.number("days");
  if (!wanted) throw UsageError("say by how many days a renewal may be moved ahead: --days N");
  if (arguments.has("svg")) throw UsageError("--svg is for `csrq renewals plan`");
  const int days = days_of(arguments, *wanted, longest_spread);
  const auto database = open_database(arguments);
  const Plan before = store::renewal_plan(*database, longest_plan);
  const std::vector<RenewalMove> moves = store::spread_plan(*database, days);
  std::int64_t moved = 0;
  for (const RenewalMove& move : moves)
    moved += arguments.has("dry-run") ? move.renewals : store::move_renewals(*database, move, days);
  Plan after =
      arguments.has("dry-run") ? with_moves(before, moves) : store::renewal_plan(*database, longest_plan);
  while (after.size() > static_cast<std::size_t>(default_plan_days) && after.back().renewals == 0)
    after.pop_back();
  report_spread(arguments, moved, before, after);
  return Exit::done;
}

Exit incidents(const Arguments& arguments) {
  if (arguments.has("days") || arguments.has("svg") || arguments.has("dry-run"))
    throw UsageError("`csrq renewals incidents` takes no --days, --svg or --dry-run");
  const auto database = open_database(arguments);
  print_rows(arguments, reports::incident_columns, store::incidents(*database), "there has been no incident");
  return Exit::done;
}

Exit run(const Arguments& arguments) {
  const std::vector<std::string>& words = arguments.positional();
  if (words.size() == 1 && words.front() == "plan") return plan(arguments);
  if (words.size() == 1 && words.front() == "spread") return spread(arguments);
  if (words.size() == 1 && words.front() == "incidents") return incidents(arguments);
  throw UsageError(
      "say what to do: `csrq renewals plan`, `csrq renewals spread --days N` or `csrq renewals incidents`");
}

}  // namespace

const Command renewals_command{
    .name = "renewals",
    .synopsis = "plan [--days N] | spread --days N | incidents",
    .summary = "show the coming renewals by day, level them, show how far incidents are",
    .help = R"(
plan    how many renewals become due on each of the next days (default 60, days of UTC), as a bar chart; today's
        line contains what is overdue. Those that are in the queue already are in `csrq status`.
spread  levels them: moves some 1 day ahead, some 2, and so on up to N, never later than the rule, never into the
        first half of a certificate's time. Moves no more than that takes: a second run moves nothing. Needs
        csrq_admin. With --dry-run it shows the plan that would come out of it.

`csrq work` levels by itself what a bulk import would make a spike (renewal.level_days). docs/renewals.md
)",
    .describe =
        [](OptionsDescription& options) {
          options.text("days", "N", "plan: so many days (1 to 1000); spread: at most so many ahead (1 to 90)")
              .flag("svg", "plan: print an SVG picture")
              .flag("dry-run", "spread: change nothing");
        },
    .run = run,
};

}  // namespace csrq::app
