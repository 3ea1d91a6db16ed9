#include <map>

#include "app/command.hpp"
#include "app/each_request.hpp"
#include "app/environment.hpp"
#include "store/requests.hpp"

namespace csrq::app {
namespace {

/// RFC 5280 §5.3.1, those that a subscriber may give.
const std::map<std::string, int> reasons{{"unspecified", 0},          {"keyCompromise", 1},
                                         {"affiliationChanged", 3},   {"superseded", 4},
                                         {"cessationOfOperation", 5}, {"privilegeWithdrawn", 9}};

int parse_reason(const std::string& text) {
  const auto found = reasons.find(text);
  if (found != reasons.end()) return found->second;
  std::string known;
  for (const auto& [name, code] : reasons) known += (known.empty() ? "" : ", ") + name;
  throw UsageError("--reason wants one of " + known + ", not \"" + text + "\"");
}

Exit run(const Arguments& arguments) {
  const int reason = parse_reason(arguments.text("reason", "unspecified"));
  const std::vector<store::RequestId> ids = arguments.request_ids();
  const auto database = open_database(arguments);
  return for_each_request(ids, arguments.json(), [&](store::RequestId id, reports::JsonObject& document) {
    const bool opened = store::revoke(*database, id, reason);
    document.add("opened", opened);
    return std::string(opened ? "revocation is due now" : "its revocation is open already, with that reason");
  });
}

}  // namespace

const Command revoke_command{
    .name = "revoke",
    .synopsis = "ID… [--reason REASON]",
    .summary = "have the CA revoke issued certificates",
    .help = R"(
Puts the revocation of these requests' certificates into the queue; a worker asks the CA with the account that ordered
them. The requests are cancelled then: a certificate that is still wanted needs a new request.

CAs need not take every reason: Let's Encrypt refuses affiliationChanged and privilegeWithdrawn. A refused certificate
goes on being renewed, unless the reason was keyCompromise; `csrq status ID` has the CA's words, and the command
may be repeated with another reason.
)",
    .describe =
        [](OptionsDescription& options) {
          options.text(
              "reason", "REASON",
              "unspecified (default), keyCompromise, affiliationChanged, superseded, cessationOfOperation or "
              "privilegeWithdrawn");
        },
    .run = run,
};

}  // namespace csrq::app
