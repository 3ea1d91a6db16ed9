#include "app/each_request.hpp"

#include <iostream>

#include "app/output.hpp"
#include "store/database.hpp"

namespace csrq::app {

Exit for_each_request(
    const std::vector<store::RequestId>& ids, bool json,
    const std::function<std::string(store::RequestId id, reports::JsonObject& document)>& act) {
  Exit exit = Exit::done;
  for (const store::RequestId id : ids) {
    reports::JsonObject document{{"id", store::number(id)}};
    try {
      const std::string sentence = act(id, document);
      if (!json) std::cout << "request " << store::number(id) << ": " << sentence << "\n";
    } catch (const store::WrongRow& wrong) {
      exit = Exit::some_failed;
      document.add("error", wrong.what());
      if (!json) std::cerr << "csrq: request " << store::number(id) << ": " << wrong.what() << "\n";
    }
    if (json) print(document.json());
  }
  return exit;
}

}  // namespace csrq::app
