#include "issuance/order_failure.hpp"

#include <nlohmann/json.hpp>

#include "acme/problem.hpp"

namespace csrq::issuance {
namespace {

using nlohmann::json;

struct FailedIdentifier {
  Identifier identifier{};
  acme::Problem problem{};
};

std::vector<FailedIdentifier> failed_identifiers(const std::vector<acme::Authorization>& authorizations) {
  std::vector<FailedIdentifier> failed;
  for (const acme::Authorization& authorization : authorizations) {
    if (authorization.status != AuthorizationStatus::invalid) continue;
    for (const acme::Challenge& challenge : authorization.challenges)
      if (challenge.error)
        failed.push_back({.identifier = authorization.identifier, .problem = *challenge.error});
  }
  return failed;
}

json subproblem(const FailedIdentifier& failed) {
  return {{"type", failed.problem.type},
          {"detail", failed.problem.detail},
          {"identifier", {{"type", to_string(failed.identifier.type)}, {"value", failed.identifier.value}}}};
}

json problem_document(const acme::Problem& first, const std::vector<FailedIdentifier>& failed) {
  json document = json::parse(first.json, nullptr, false);
  if (!document.is_object()) document = {{"type", first.type}, {"detail", first.detail}};
  if (failed.empty() || document.contains("subproblems")) return document;
  json& subproblems = document["subproblems"] = json::array();
  for (const FailedIdentifier& one : failed) subproblems.push_back(subproblem(one));
  return document;
}

std::string sentence(const acme::Order& order, const acme::Problem* first,
                     const std::vector<FailedIdentifier>& failed) {
  if (failed.empty())
    return first ? "the CA gave the order up: " + first->detail
                 : "the CA gave the order " + order.url + " up without saying why";
  std::string text = failed.front().identifier.value + ": " + failed.front().problem.detail;
  if (failed.size() > 1)
    text += " (and " + std::to_string(failed.size() - 1) + " other names, see subproblems)";
  return text;
}

}  // namespace

Failure order_failure(const acme::Order& order, const std::vector<acme::Authorization>& authorizations) {
  const std::vector<FailedIdentifier> failed = failed_identifiers(authorizations);
  const acme::Problem* first = !failed.empty() ? &failed.front().problem
                               : order.error   ? &*order.error
                                               : nullptr;
  Failure failure{.failure_class = FailureClass::transient,
                  .code = "order_invalid",
                  .detail = sentence(order, first, failed),
                  .problem = {},
                  .retry_after = {}};
  if (!first) {
    if (order.status != OrderStatus::invalid) {
      failure.code = "order_expired";
      failure.detail = "the order " + order.url + " expired before the CA had finished with it";
    }
    return failure;
  }
  failure.failure_class = acme::classify(*first);
  if (!first->type.empty()) failure.code = first->short_type();
  const acme::Problem& outer = order.error ? *order.error : *first;
  failure.problem = problem_document(outer, failed).dump(-1, ' ', false, json::error_handler_t::replace);
  return failure;
}

}  // namespace csrq::issuance
