#include <unistd.h>

#include <iostream>

#include "app/batch_report.hpp"
#include "app/command.hpp"
#include "app/environment.hpp"
#include "app/stop_switch.hpp"
#include "config/config.hpp"
#include "store/requests.hpp"
#include "workers/janitor.hpp"
#include "workers/notifier.hpp"
#include "workers/renewer.hpp"
#include "workers/responder.hpp"
#include "workers/signals.hpp"

namespace csrq::app {
namespace {

constexpr std::int64_t default_limit = 1000;
/// There may be no worker to tell it later.
constexpr workers::NotifierPace at_once{.soon = {}, .outage = {}};
constexpr auto longest_sweep = std::chrono::seconds(30);
constexpr auto longest_planning = std::chrono::seconds(30);

BatchReport::Style style_of(const Arguments& arguments) {
  if (arguments.json()) return BatchReport::Style::json;
  return isatty(STDOUT_FILENO) ? BatchReport::Style::bar : BatchReport::Style::lines;
}

Exit run(const Arguments& arguments) {
  arguments.expect_no_positional();
  const std::int64_t limit = arguments.number("limit").value_or(default_limit);
  const Config config = arguments.config();
  StopSwitch stop_switch;
  const workers::Signals signals([&] { stop_switch.stop(); }, {});
  IssuingEnvironment environment(config, stop_switch.token());
  std::optional<workers::Responder> responder;
  if (!config.challenges.http_01.listen.empty())
    responder.emplace(config.challenges.http_01, database_options(config, stop_switch.token()));
  put_grants_in_force(*environment.database, config.customers.grants);

  // What a CA wants renewed now is part of this batch.
  workers::Renewer renewer(config.renewal, *environment.database, environment.cas);
  const auto planned_until = std::chrono::steady_clock::now() + longest_planning;
  renewer.round([&] { return stop_switch.stopped() || std::chrono::steady_clock::now() > planned_until; });

  const bool renewals_only = arguments.has("renewals");
  // How many renewals there are shows when they are taken up.
  const std::int64_t due = renewals_only ? 0 : store::queue_depth(*environment.database).due;
  BatchReport report(style_of(arguments), std::min(limit, due));
  workers::Issuer issuer(config, *environment.database, *environment.coordination, environment.cas,
                         environment.accounts, report.observer());
  stop_switch.connect([&] { issuer.stop(); });
  workers::Janitor janitor(*environment.database, environment.cas, environment.accounts);
  workers::Notifier notifier(config.notify, database_options(config, stop_switch.token()), environment.cas,
                             at_once);
  const workers::Tally tally = issuer.run(limit, renewals_only);
  stop_switch.connect({});
  const auto until = std::chrono::steady_clock::now() + longest_sweep;
  janitor.round([&] { return stop_switch.stopped() || std::chrono::steady_clock::now() > until; });
  notifier.round([&] { return stop_switch.stopped() || std::chrono::steady_clock::now() > until; });
  report.summary(tally);
  if (tally.failed > 0) return Exit::some_failed;
  const std::vector<std::string> out = environment.cas.out_of_reach();
  for (const std::string& ca : out)
    std::cerr << "csrq: the CA " << ca << " is out of reach; its rows wait (`csrq status` says until when)\n";
  return out.empty() ? Exit::done : Exit::unreachable;
}

}  // namespace

const Command run_command{
    .name = "run",
    .synopsis = "[--renewals] [--limit N]",
    .summary = "work on one batch of due rows, then end",
    .help = R"(
Takes up to N due rows, due renewals among them, and ends when each is issued, failed or put off by more than a
minute. For a timer. Exit code 1 if a row failed, 3 if the database stayed away. Ctrl-C lets the requests under way
finish and gives the other rows back.

With --renewals it takes nothing but renewals that have fallen due, the most urgent first, at most renewal.per_run
and what renewal.per_hour leaves. Those asked for by `csrq renew` have the priority of their row and are not among them.
)",
    .describe =
        [](OptionsDescription& options) {
          options.text("limit", "N", "at most so many rows (default 1000)")
              .flag("renewals", "only renewals that have fallen due");
        },
    .run = run,
};

}  // namespace csrq::app
