#include <iostream>

#include "app/command.hpp"
#include "app/environment.hpp"
#include "app/output.hpp"
#include "store/janitor.hpp"

namespace csrq::app {
namespace {

constexpr Duration default_keep = std::chrono::hours(24 * 90);

Exit run(const Arguments& arguments) {
  arguments.expect_no_positional();
  const Duration keep = arguments.duration("keep").value_or(default_keep);
  const auto database = open_database(arguments);
  const auto removed = store::prune(*database, keep);
  reports::JsonObject document;
  for (const auto& [what, count] : removed) {
    document.add(what, count);
    if (!arguments.json()) std::cout << count << " " << what << "\n";
  }
  if (arguments.json()) print(document.json());
  return Exit::done;
}

}  // namespace

const Command prune_command{
    .name = "prune",
    .synopsis = "[--keep DURATION]",
    .summary = "remove old history",
    .help = R"(
Removes events (by whole months), closed orders, settled authorizations and replaced certificates that are
older, workers long gone, and incidents after 400 days. Never a request, the chain in it, or anything open.
For a daily timer. Needs csrq_admin.
)",
    .describe =
        [](OptionsDescription& options) {
          options.text("keep", "DURATION", "how much history stays (default 90d, at least 1d)");
        },
    .run = run,
};

}  // namespace csrq::app
