#include "app/command.hpp"
#include "app/each_request.hpp"
#include "app/environment.hpp"
#include "store/requests.hpp"

namespace csrq::app {
namespace {

Exit run(const Arguments& arguments) {
  const std::vector<store::RequestId> ids = arguments.request_ids();
  const auto database = open_database(arguments);
  return for_each_request(ids, arguments.json(), [&](store::RequestId id, reports::JsonObject& document) {
    const std::string outcome = store::cancel(*database, id);
    document.add("outcome", outcome);
    return outcome;
  });
}

}  // namespace

const Command cancel_command{
    .name = "cancel",
    .synopsis = "ID…",
    .summary = "a certificate is no longer wanted: stop work and renewals",
    .help = R"(
Stops work on these requests and their renewals. A chain that was issued stays in its row and is not revoked
(`csrq revoke` does that).
)",
    .describe = [](OptionsDescription&) {},
    .run = run,
};

}  // namespace csrq::app
