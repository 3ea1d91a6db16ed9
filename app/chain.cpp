#include <iostream>

#include "app/command.hpp"
#include "app/environment.hpp"
#include "app/output.hpp"
#include "store/requests.hpp"

namespace csrq::app {
namespace {

Exit run(const Arguments& arguments) {
  const std::vector<store::RequestId> ids = arguments.request_ids();
  if (ids.size() != 1) throw UsageError("name one request");
  const auto database = open_for_reading(arguments);
  const std::optional<std::string> chain = store::chain(*database, ids.front());
  if (!chain) {
    std::cerr << "csrq: request " << store::number(ids.front()) << " has no chain (yet); `csrq status "
              << store::number(ids.front()) << "` says why\n";
    return Exit::some_failed;
  }
  if (arguments.json())
    print(reports::JsonObject{{"id", store::number(ids.front())}, {"chain", *chain}}.json());
  else
    std::cout << *chain;
  return Exit::done;
}

}  // namespace

const Command chain_command{
    .name = "chain",
    .synopsis = "ID",
    .summary = "print the issued chain of a request",
    .help = R"(
Prints the chain as PEM, end-entity certificate first, root left out: what a server wants beside its key.
)",
    .describe = [](OptionsDescription&) {},
    .run = run,
};

}  // namespace csrq::app
