#include <algorithm>
#include <iostream>
#include <ranges>

#include "app/command.hpp"
#include "app/environment.hpp"
#include "app/output.hpp"
#include "base/printable.hpp"
#include "store/health.hpp"
#include "store/notifications.hpp"

namespace csrq::app {
namespace {

using namespace std::chrono_literals;

/// What a monitoring plugin's exit code says.
enum class Verdict : int { ok = 0, warning = 1, critical = 2 };

struct Thresholds {
  Duration warning{14 * 24h};
  Duration critical{3 * 24h};
  Duration due_warning{6h};
  Duration due_critical{2 * 24h};
  bool by_timer{false};
};

struct Answer {
  Verdict verdict{Verdict::ok};
  std::string text{};

  void add(Verdict level, const std::string& sentence) {
    verdict = std::max(verdict, level);
    text += (text.empty() ? "" : "; ") + sentence;
  }
};

const char* name_of(Verdict verdict) {
  if (verdict == Verdict::critical) return "CRITICAL";
  return verdict == Verdict::warning ? "WARNING" : "OK";
}

Thresholds thresholds_of(const Arguments& arguments) {
  const Thresholds otherwise;
  const Thresholds thresholds{
      .warning = arguments.duration("warning").value_or(otherwise.warning),
      .critical = arguments.duration("critical").value_or(otherwise.critical),
      .due_warning = arguments.duration("due-warning").value_or(otherwise.due_warning),
      .due_critical = arguments.duration("due-critical").value_or(otherwise.due_critical),
      .by_timer = arguments.has("timer")};
  if (thresholds.critical > thresholds.warning)
    throw UsageError("--critical must not be longer than --warning");
  if (thresholds.due_warning > thresholds.due_critical)
    throw UsageError("--due-warning must not be longer than --due-critical");
  return thresholds;
}

std::string counted(std::int64_t count, const std::string& one, const std::string& many) {
  return std::to_string(count) + " " + (count == 1 ? one : many);
}

/// A whole number of the largest unit that is no larger.
std::string rough(Duration time) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(time).count();
  if (time >= 48h) return std::to_string(std::chrono::floor<std::chrono::days>(time).count()) + "d";
  if (time >= 2h) return std::to_string(std::chrono::floor<std::chrono::hours>(time).count()) + "h";
  return seconds >= 120 ? std::to_string(seconds / 60) + "m" : std::to_string(seconds) + "s";
}

std::string described(const store::EndingSoon& ending) {
  return counted(ending.certificates, "certificate ends soon and is not renewed",
                 "certificates end soon and are not renewed") +
         ", the first " + ending.name + " of " + ending.customer + " (request " +
         std::to_string(ending.request) + ") at " +
         reports::shown_time(ending.not_after, reports::to_the_minute);
}

/// What stops the rows of a whole CA, account or machine.
bool is_critical(const store::OpenAlarm& alarm) {
  return alarm.code == ErrorCode::ca_out_of_reach || alarm.kind == to_string(store::AlarmKind::account) ||
         alarm.kind == to_string(store::AlarmKind::sealing_key);
}

void add_alarms(Answer& answer, const std::vector<store::OpenAlarm>& alarms) {
  constexpr std::size_t most_told = 20;
  for (const store::OpenAlarm& alarm : alarms | std::views::take(most_told))
    answer.add(is_critical(alarm) ? Verdict::critical : Verdict::warning, "alarm " + alarm.key);
  if (alarms.size() <= most_told) return;
  const bool critical = std::ranges::any_of(alarms | std::views::drop(most_told), is_critical);
  answer.add(critical ? Verdict::critical : Verdict::warning,
             std::to_string(alarms.size() - most_told) + " more alarms, see csrq.alarms");
}

Answer judge(const store::Health& health, const std::vector<store::OpenAlarm>& alarms,
             const Thresholds& thresholds) {
  Answer answer;
  if (health.critical.certificates > 0) answer.add(Verdict::critical, described(health.critical));
  if (health.workers == 0 && !thresholds.by_timer) answer.add(Verdict::critical, "no worker is alive");
  if (health.longest_due > thresholds.due_warning)
    answer.add(health.longest_due > thresholds.due_critical ? Verdict::critical : Verdict::warning,
               "the oldest due row has waited for " + rough(health.longest_due));
  if (health.warning.certificates > 0) answer.add(Verdict::warning, described(health.warning));
  if (health.need_person > 0)
    answer.add(Verdict::warning, counted(health.need_person, "row needs a person", "rows need a person"));
  add_alarms(answer, alarms);
  if (answer.text.empty())
    answer.text = counted(health.due, "row is due", "rows are due") + ", " +
                  counted(health.workers, "worker is alive", "workers are alive");
  return answer;
}

std::string performance_data(const store::Health& health, const Thresholds& thresholds) {
  const auto whole = [](Duration time) {
    return std::to_string(std::chrono::duration_cast<std::chrono::seconds>(time).count());
  };
  return "ending_critical=" + std::to_string(health.critical.certificates) +
         ";;0;0 ending_warning=" + std::to_string(health.warning.certificates) +
         ";0;;0 need_person=" + std::to_string(health.need_person) +
         ";0;;0 workers=" + std::to_string(health.workers) + ";;;0 due=" + std::to_string(health.due) +
         ";;;0 oldest_due=" + whole(health.longest_due) + "s;" + whole(thresholds.due_warning) + ";" +
         whole(thresholds.due_critical) + ";0";
}

reports::Json json_of(const store::EndingSoon& ending) {
  reports::JsonObject document{{"certificates", ending.certificates}};
  if (ending.certificates > 0)
    document.add("request", ending.request)
        .add("customer", ending.customer)
        .add("name", ending.name)
        .add("not_after", reports::Instant(ending.not_after));
  return document.json();
}

reports::Json json_of(const std::vector<store::OpenAlarm>& alarms) {
  std::vector<reports::Json> list;
  list.reserve(alarms.size());
  for (const store::OpenAlarm& alarm : alarms)
    list.push_back(
        reports::JsonObject{{"key", alarm.key}, {"code", alarm.code}, {"detail", alarm.detail}}.json());
  return reports::array_of(list);
}

void print_json(const Answer& answer, const store::Health& health,
                const std::vector<store::OpenAlarm>& alarms) {
  print(reports::JsonObject{{"state", name_of(answer.verdict)},
                            {"text", answer.text},
                            {"ending_critical", json_of(health.critical)},
                            {"ending_warning", json_of(health.warning)},
                            {"need_person", health.need_person},
                            {"alarms", json_of(alarms)},
                            {"workers", health.workers},
                            {"due", health.due},
                            {"oldest_due_seconds", seconds(health.longest_due)}}
            .json());
}

Exit run(const Arguments& arguments) {
  arguments.expect_no_positional();
  const Thresholds thresholds = thresholds_of(arguments);
  const auto database = open_for_reading(arguments);
  const store::Health health =
      store::health(*database, thresholds.warning, thresholds.critical, arguments.text("customer"));
  const std::vector<store::OpenAlarm> alarms = store::open_alarms(*database, arguments.text("customer"));
  const Answer answer = judge(health, alarms, thresholds);
  if (arguments.json())
    print_json(answer, health, alarms);
  else
    std::cout << "CSRQ " << name_of(answer.verdict) << " - " << plugin_text(answer.text) << " | "
              << performance_data(health, thresholds) << "\n";
  return static_cast<Exit>(answer.verdict);
}

}  // namespace

std::string plugin_text(std::string text) {
  std::ranges::replace(text, '\n', ' ');
  text = printable(text);
  std::ranges::replace(text, '|', '/');
  return text;
}

const Command check_command{
    .name = "check",
    .synopsis = "[--warning 14d] [--critical 3d] [--customer NAME]",
    .summary = "answer a monitoring system as a Nagios plugin",
    .help = R"(
Prints one line with performance data and ends with the exit code of a Nagios plugin, which is not what the other
commands mean by theirs: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN (a mistake in the command or the configuration, or
the database is out of reach). Looks at the database alone; a login in csrq_dba is enough.

  CRITICAL  a certificate whose renewal is due ends within --critical; no worker is alive; the oldest due row waits
            longer than --due-critical; an alarm is open of an account, a sealing key or a CA out of reach
  WARNING   one ends within --warning; a row needs a person; the oldest due row waits longer than --due-warning;
            another alarm is open, such as a name that the CA has paused: `csrq notify` tells more

Of a short-lived certificate a sixth and a thirtieth of its lifetime count, if they are less. Rows of suspended
customers are left out, and bulk rows from the oldest due row.
)",
    .describe =
        [](OptionsDescription& options) {
          options.text("warning", "DURATION", "before the end of a certificate (default 14d)")
              .text("critical", "DURATION", "before the end of a certificate (default 3d)")
              .text("due-warning", "DURATION", "that a row may be due (default 6h)")
              .text("due-critical", "DURATION", "that a row may be due (default 2d)")
              .text("customer", "NAME", "only rows of this customer")
              .flag("timer", "rows are worked on by `csrq run`: no worker need be alive");
        },
    .run = run,
    .is_plugin = true,
};

}  // namespace csrq::app
