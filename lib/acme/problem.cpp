#include "acme/problem.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <utility>

#include "acme/json.hpp"
#include "acme/refusal_rules.hpp"
#include "acme/used_up_limit.hpp"
#include "base/identifier.hpp"
#include "base/printable.hpp"
#include "http/retry_after.hpp"

namespace csrq::acme {

namespace {

constexpr std::string_view acme_prefix = "urn:ietf:params:acme:error:";
constexpr std::size_t max_document_octets = 64 << 10;
constexpr std::size_t max_detail_octets = 2000;
constexpr std::size_t max_type_octets = 200;
constexpr std::size_t max_identifier_octets = 255;
constexpr std::size_t told_subproblems = 3;
constexpr std::size_t most_algorithms = 10;
constexpr std::size_t max_algorithm_octets = 20;

std::string without_prefix(std::string_view type) {
  if (type.starts_with(acme_prefix)) type.remove_prefix(acme_prefix.size());
  return std::string(type);
}

/// At most `limit` octets, never half a UTF-8 character.
std::string cut(std::string text, std::size_t limit) {
  if (text.size() <= limit) return text;
  while (limit > 0 && (static_cast<unsigned char>(text[limit]) & 0xC0U) == 0x80U) --limit;
  return text.substr(0, limit) + "…";
}

std::string text_of(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

Subproblem subproblem_of(const Json& json) {
  Subproblem subproblem{.type = cut(text_of(json, "type"), max_type_octets),
                        .detail = cut(text_of(json, "detail"), max_detail_octets)};
  if (const auto identifier = json.find("identifier"); identifier != json.end() && identifier->is_object())
    subproblem.identifier = cut(text_of(*identifier, "value"), max_identifier_octets);
  return subproblem;
}

/// A document that is too large to keep whole: its sentence, and as many subproblems as there is room for.
std::string shortened(const Json& document) {
  Json kept = {{"truncated", true},
               {"type", cut(text_of(document, "type"), max_type_octets)},
               {"detail", cut(text_of(document, "detail"), max_detail_octets)}};
  if (const auto status = document.find("status"); status != document.end() && status->is_number())
    kept["status"] = *status;
  const auto subproblems = document.find("subproblems");
  if (subproblems == document.end() || !subproblems->is_array()) return dump_json(kept);
  Json& kept_subproblems = kept["subproblems"] = Json::array();
  std::size_t size = dump_json(kept).size();
  for (const Json& subproblem : *subproblems) {
    size += dump_json(subproblem).size() + 1;
    if (size > max_document_octets) break;
    kept_subproblems.push_back(subproblem);
  }
  return dump_json(kept);
}

Problem problem_from(const Json& document) {
  Problem problem{.type = cut(text_of(document, "type"), max_type_octets),
                  .detail = cut(text_of(document, "detail"), max_detail_octets)};
  if (problem.type == "about:blank") problem.type.clear();
  if (problem.detail.empty()) problem.detail = cut(text_of(document, "title"), max_detail_octets);
  if (const auto status = document.find("status"); status != document.end() && status->is_number_integer())
    if (const auto number = status->get<std::int64_t>(); number >= 100 && number <= 599)
      problem.status = static_cast<int>(number);
  if (const auto list = document.find("subproblems"); list != document.end() && list->is_array())
    for (const Json& entry : *list)
      if (entry.is_object()) problem.subproblems.push_back(subproblem_of(entry));
  if (const auto list = document.find("algorithms"); list != document.end() && list->is_array())
    for (const Json& entry : *list)
      if (entry.is_string() && problem.algorithms.size() < most_algorithms)
        problem.algorithms.push_back(printable(entry.get<std::string>().substr(0, max_algorithm_octets)));
  problem.json = dump_json(document);
  if (problem.json.size() > max_document_octets) problem.json = shortened(document);
  return problem;
}

bool contains(std::string_view text, std::string_view words) {
  return text.find(words) != std::string_view::npos;
}

/// §6.7.1: as bad as the worst of its parts.
FailureClass class_of_compound(const Problem& problem, RequestKind request) {
  constexpr auto worst_first = std::to_array({FailureClass::permanent, FailureClass::administrative,
                                              FailureClass::limited, FailureClass::validation});
  for (const FailureClass failure_class : worst_first)
    for (const Subproblem& part : problem.subproblems)
      if (!part.type.empty() && without_prefix(part.type) != problem_type::compound &&
          classify({.type = part.type, .detail = part.detail}, request) == failure_class)
        return failure_class;
  return FailureClass::transient;
}

std::string sentence(const Problem& problem, std::string_view action) {
  std::string text = std::string(action) + ": " + problem.detail;
  if (!problem.type.empty()) text += " (" + problem.short_type() + ")";
  std::size_t told = 0;
  for (const Subproblem& part : problem.subproblems) {
    if (told++ == told_subproblems) {
      text +=
          "; and " + std::to_string(problem.subproblems.size() - told_subproblems) + " more, see subproblems";
      break;
    }
    text += "; " + (part.identifier.empty() ? without_prefix(part.type) : part.identifier) + ": " +
            cut(part.detail, max_detail_octets / 4);
  }
  return text;
}

}  // namespace

bool Problem::is(std::string_view short_type) const {
  return type == short_type ||
         (type.starts_with(acme_prefix) && std::string_view(type).substr(acme_prefix.size()) == short_type);
}

std::string Problem::short_type() const {
  return without_prefix(type);
}

bool Problem::is_acme() const {
  return type.starts_with(acme_prefix) ||
         std::ranges::find(problem_type::known, type) != problem_type::known.end();
}

std::string Problem::code() const {
  std::string code = short_type();
  return std::ranges::find(problem_type::known, code) != problem_type::known.end() ? code : std::string();
}

Problem problem_of(const http::Response& response) {
  const std::optional<Json> document = parse_json(response.body);
  Problem problem = document && document->is_object() ? problem_from(*document) : Problem{};
  problem.status = response.status;
  if (!problem.detail.empty()) return problem;
  problem.detail = "the answer was HTTP " + std::to_string(response.status);
  if (problem.json.empty() && !response.body.empty())
    problem.detail += " with " +
                      cut(response.media_type().empty() ? "a body" : printable(response.media_type()), 100) +
                      " in place of a problem document";
  return problem;
}

Problem parse_problem(std::string_view json) {
  const std::optional<Json> document = parse_json(json);
  Problem problem = document && document->is_object() ? problem_from(*document) : Problem{};
  if (problem.detail.empty()) problem.detail = "the CA gave no reason";
  return problem;
}

FailureClass classify(const Problem& problem, RequestKind request) {
  return problem.is(problem_type::compound) ? class_of_compound(problem, request)
                                            : rule_for(problem, request).failure_class;
}

/// The sentences are those of Boulder (and its kin) and Pebble.
bool is_of_ended_account(const Problem& problem, RequestKind request) {
  if (request == RequestKind::challenge_error || request == RequestKind::order_error) return false;
  const std::string detail = to_lower_ascii(problem.detail);
  return problem.is(problem_type::unauthorized) &&
         (contains(detail, "account is not valid") || contains(detail, "account has been deactivated") ||
          contains(detail, "exists but is deactivated"));
}

namespace {

Failure failure_of(const Problem& problem, const http::Response& response, RequestKind request,
                   std::string_view action) {
  Failure failure{.failure_class = classify(problem, request),
                  .code = problem.code().empty() ? "http_" + std::to_string(response.status) : problem.code(),
                  .detail = sentence(problem, action),
                  .problem = problem.json,
                  .retry_after = http::retry_after_of(response, now())};
  const bool is_busy = response.status == 503 && failure.retry_after;
  if (is_busy) failure.failure_class = rule_for(problem, request, true).failure_class;
  if (is_of_ended_account(problem, request)) failure.code = to_string(ErrorCode::account_deactivated);
  if (failure.failure_class == FailureClass::limited) {
    failure.limit = used_up_limit(problem, response);
    if (!failure.retry_after) failure.retry_after = wait_in_sentence(problem, response, now());
  }
  if (is_paused(problem)) {
    failure.code = to_string(ErrorCode::name_paused);
    failure.limit = UsedUpLimit{.scope = LimitScope::identifier, .subject = paused_name(problem)};
  }
  return failure;
}

Failure sent_as(Failure failure, FailedRequest sent, int status) {
  sent.status = status;
  failure.request = std::move(sent);
  return failure;
}

}  // namespace

Refusal::Refusal(const http::Response& response, RequestKind request, std::string_view action,
                 FailedRequest sent)
    : Error(sent_as(error_of(response, request, action).failure(), std::move(sent), response.status)),
      problem_(problem_of(response)) {}

bool Refusal::says_gone() const {
  const FailureClass failure_class = failure().failure_class;
  return problem_.is_acme() && failure_class != FailureClass::administrative &&
         failure_class != FailureClass::limited &&
         (status() == 404 || status() == 410 || problem_.is(problem_type::malformed) ||
          problem_.is(problem_type::unauthorized));
}

Error error_of(const http::Response& response, RequestKind request, std::string_view action) {
  return Error(failure_of(problem_of(response), response, request, action));
}

}  // namespace csrq::acme
