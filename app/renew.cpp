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
    const bool opened = store::renew(*database, id);
    if (arguments.json())
      std::cout << nlohmann::json{{"id", store::number(id)}, {"opened", opened}}.dump() << "\n";
    else
      std::cout << "request " << store::number(id)
                << (opened ? ": renewal is due now\n" : ": work on it is open already\n");
  }
  return Exit::done;
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
