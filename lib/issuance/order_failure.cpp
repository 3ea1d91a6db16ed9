#include "issuance/order_failure.hpp"

#include <algorithm>
#include <ranges>

#include <nlohmann/json.hpp>

#include "acme/problem.hpp"

namespace csrq::issuance {
namespace {

using nlohmann::json;

constexpr std::size_t told_names = 3;

struct FailedIdentifier {
  Identifier identifier{};  ///< a wildcard with its "*."
  acme::Problem problem{};
};

std::vector<FailedIdentifier> failed_identifiers(const std::vector<acme::Authorization>& authorizations,
                                                 AuthorizationStatus status) {
  std::vector<FailedIdentifier> failed;
  for (const acme::Authorization& authorization : authorizations) {
    if (authorization.status != status) continue;
    const auto& challenges = authorization.challenges;
    const auto tried =
        std::ranges::find_if(challenges, [](const auto& one) { return one.error.has_value(); });
    if (tried != challenges.end())
      failed.push_back({.identifier = acme::ordered_identifier(authorization), .problem = *tried->error});
  }
  return failed;
}

std::vector<std::string> names_of(const std::vector<FailedIdentifier>& failed) {
  std::vector<std::string> names;
  names.reserve(failed.size());
  for (const FailedIdentifier& one : failed) names.push_back(one.identifier.value);
  return names;
}

std::vector<std::string> invalid_names(const std::vector<acme::Authorization>& authorizations) {
  std::vector<std::string> names;
  for (const acme::Authorization& authorization : authorizations)
    if (authorization.status == AuthorizationStatus::invalid)
      names.push_back(acme::ordered_identifier(authorization).value);
  return names;
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

std::string dumped(const json& document) {
  return document.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string told(const std::vector<FailedIdentifier>& failed) {
  std::string text;
  for (const FailedIdentifier& one : failed | std::views::take(told_names))
    text += (text.empty() ? "" : "; ") + one.identifier.value + ": " + one.problem.detail;
  if (failed.size() > told_names)
    text += "; and " + std::to_string(failed.size() - told_names) + " more names, see subproblems";
  return text;
}

std::string sentence(const acme::Order& order, const acme::Problem* first,
                     const std::vector<FailedIdentifier>& failed) {
  if (!failed.empty()) return told(failed);
  return first ? "the CA gave the order up: " + first->detail
               : "the CA gave the order " + order.url + " up without saying why";
}

/// RFC 8555 §6.7.1, as if the CA had put them together.
FailureClass class_of_all(const std::vector<FailedIdentifier>& failed) {
  if (failed.size() == 1) return acme::classify(failed.front().problem, acme::RequestKind::challenge_error);
  acme::Problem all{.type = "urn:ietf:params:acme:error:compound"};
  for (const FailedIdentifier& one : failed)
    all.subproblems.push_back(
        {.type = one.problem.type, .detail = one.problem.detail, .identifier = one.identifier.value});
  return acme::classify(all, acme::RequestKind::challenge_error);
}

}  // namespace

Failure order_failure(const acme::Order& order, const std::vector<acme::Authorization>& authorizations) {
  const std::vector<FailedIdentifier> failed =
      failed_identifiers(authorizations, AuthorizationStatus::invalid);
  const acme::Problem* first = !failed.empty() ? &failed.front().problem
                               : order.error   ? &*order.error
                                               : nullptr;
  Failure failure{.failure_class = FailureClass::transient,
                  .code = to_string(ErrorCode::order_invalid),
                  .detail = sentence(order, first, failed),
                  .problem = {},
                  .retry_after = {}};
  failure.failed_names = invalid_names(authorizations);
  if (!first) {
    if (order.status != OrderStatus::invalid) {
      failure.code = to_string(ErrorCode::order_expired);
      failure.detail = "the order " + order.url + " expired before the CA had finished with it";
    }
    return failure;
  }
  failure.failure_class =
      failed.empty() ? acme::classify(*first, acme::RequestKind::order_error) : class_of_all(failed);
  for (const FailedIdentifier& one : failed) {
    if (acme::classify(one.problem, acme::RequestKind::challenge_error) != failure.failure_class) continue;
    first = &one.problem;
    break;
  }
  if (const std::string code = first->code(); !code.empty()) failure.code = code;
  const acme::Problem& outer = order.error ? *order.error : *first;
  failure.problem = dumped(problem_document(outer, failed));
  return failure;
}

std::optional<Failure> open_failure(const std::vector<acme::Authorization>& authorizations) {
  const std::vector<FailedIdentifier> failed =
      failed_identifiers(authorizations, AuthorizationStatus::pending);
  if (failed.empty()) return std::nullopt;
  const acme::Problem& first = failed.front().problem;
  Failure failure{.failure_class = FailureClass::validation,  // the CA goes on, so it is nothing worse
                  .code = first.code().empty() ? to_string(ErrorCode::challenge_error) : first.code(),
                  .detail = told(failed) + " (the CA has not given up, and is asked to look again)",
                  .problem = dumped(problem_document(first, failed)),
                  .retry_after = {}};
  failure.failed_names = names_of(failed);
  return failure;
}

std::vector<std::string> refused_names(const Failure& failure, const std::vector<std::string>& names) {
  const acme::Problem problem = acme::parse_problem(failure.problem);
  std::vector<std::string> refused;
  for (const std::string& name : names)
    if (std::ranges::any_of(problem.subproblems, [&](const acme::Subproblem& one) {
          return to_lower_ascii(one.identifier) == name;
        }))
      refused.push_back(name);
  if (!refused.empty()) return refused;
  for (const std::string& name : names)
    if (problem.detail.find('"' + name + '"') != std::string::npos) refused.push_back(name);
  return refused.empty() && names.size() == 1 ? names : refused;
}

}  // namespace csrq::issuance
