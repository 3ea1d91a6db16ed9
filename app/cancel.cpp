#include <iostream>

#include <nlohmann/json.hpp>

#include "app/command.hpp"
#include "app/environment.hpp"
#include "store/requests.hpp"

namespace csrq::app {
namespace {

Exit run(const Arguments& arguments) {
  const std::vector<store::RequestId> ids = arguments.request_ids();
  const auto database = open_database(arguments.config());
  for (const store::RequestId id : ids) {
    const std::string outcome = store::cancel(*database, id);
    if (arguments.json())
      std::cout << nlohmann::json{{"id", store::number(id)}, {"outcome", outcome}}.dump() << "\n";
    else
      std::cout << "request " << store::number(id) << ": " << outcome << "\n";
  }
  return Exit::done;
}

}  // namespace

const Command cancel_command{.name = "cancel",
                             .synopsis = "ID…",
                             .summary = "a certificate is no longer wanted: stop work and renewals",
                             .help =
                                 "Stops work on these requests and their renewals. A chain that was issued "
                                 "stays in its row and is not revoked\n"
                                 "(`csrq revoke` does that).\n",
                             .describe = [](OptionsDescription&) {},
                             .run = run};

}  // namespace csrq::app
