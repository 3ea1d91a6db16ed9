#include <nlohmann/json.hpp>

#include "app/command.hpp"
#include "app/each_request.hpp"
#include "app/environment.hpp"
#include "store/requests.hpp"

namespace csrq::app {
namespace {

Exit run(const Arguments& arguments) {
  const std::vector<store::RequestId> ids = arguments.request_ids();
  const auto database = open_database(arguments.config());
  return for_each_request(ids, arguments.json(), [&](store::RequestId id, nlohmann::json& document) {
    const bool opened = store::renew(*database, id);
    document["opened"] = opened;
    return std::string(opened ? "renewal is due now" : "work on it is open already");
  });
}

}  // namespace

const Command renew_command{.name = "renew",
                            .synopsis = "ID…",
                            .summary = "renew issued certificates now, from the same CSR",
                            .help =
                                "Puts a renewal of these requests into the queue. Their chains stay until "
                                "the new ones replace them.\n",
                            .describe = [](OptionsDescription&) {},
                            .run = run};

}  // namespace csrq::app
