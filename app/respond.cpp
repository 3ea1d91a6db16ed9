#include "app/command.hpp"
#include "app/environment.hpp"
#include "app/stop_switch.hpp"
#include "base/log.hpp"
#include "config/config.hpp"
#include "workers/responder.hpp"
#include "workers/signals.hpp"

namespace csrq::app {
namespace {

/// As often as a worker's heartbeat.
constexpr auto schema_interval = std::chrono::seconds(15);

Exit run(const Arguments& arguments) {
  arguments.expect_no_positional();
  Config config = arguments.config();
  Http01Config& http_01 = config.challenges.http_01;
  http_01.listen = arguments.text("listen", http_01.listen);
  if (http_01.listen.empty())
    throw UsageError(config.file + ": challenges.http-01.listen is not set, and --listen was not given");

  StopSwitch stop_switch;
  const workers::Signals signals([&] { stop_switch.stop(); }, {});
  store::DatabaseOptions options = database_options(config, stop_switch.token());
  options.access = store::Access::read_only;
  open_database(options);
  workers::Responder responder(http_01, options);
  log::info("answering http-01 challenges", {{"listen", responder.address()}});
  while (!stop_switch.wait_for(schema_interval)) responder.require_same_schema();
  log::info("stopped");
  return Exit::done;
}

}  // namespace

const Command respond_command{
    .name = "respond",
    .synopsis = "[--listen ADDRESS:PORT]",
    .summary = "answer http-01 challenges: the central validation server",
    .help = R"(
Serves /.well-known/acme-challenge/ from the database, for all workers, and 404 for everything else. Point your front
ends at it by redirect or proxy (docs/http-01.md). Needs a login with the role csrq_responder, nothing more.

Whoever floods the port with connections waits for his own: an address has its share of them, and the oldest idle one
gives way. Name front ends in challenges.http-01.proxy_from. At most half of the limit of open files is used, which is
raised to the hard one; below 16384 the log says so.
)",
    .describe =
        [](OptionsDescription& options) {
          options.text("listen", "ADDRESS:PORT", "instead of challenges.http-01.listen");
        },
    .run = run,
};

}  // namespace csrq::app
