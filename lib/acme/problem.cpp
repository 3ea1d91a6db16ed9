#include "acme/problem.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <utility>

#include "acme/json.hpp"
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
constexpr std::size_t told_subproblems = 3;

constexpr auto classes_of_types = std::to_array<std::pair<std::string_view, FailureClass>>({
    {"rateLimited", FailureClass::limited},

    {"badNonce", FailureClass::transient},
    {"serverInternal", FailureClass::transient},
    {"orderNotReady", FailureClass::transient},
    {"alreadyReplaced", FailureClass::transient},

    {"unauthorized", FailureClass::validation},
    {"dns", FailureClass::validation},
    {"connection", FailureClass::validation},
    {"caa", FailureClass::validation},
    {"incorrectResponse", FailureClass::validation},
    {"tls", FailureClass::validation},

    {"malformed", FailureClass::permanent},
    {"badCSR", FailureClass::permanent},
    {"badPublicKey", FailureClass::permanent},
    {"badSignatureAlgorithm", FailureClass::permanent},
    {"badRevocationReason", FailureClass::permanent},
    {"alreadyRevoked", FailureClass::permanent},
    {"rejectedIdentifier", FailureClass::permanent},
    {"unsupportedIdentifier", FailureClass::permanent},
    {"invalidProfile", FailureClass::permanent},
    {"onionCAARequired", FailureClass::permanent},

    {"accountDoesNotExist", FailureClass::administrative},
    {"agreementRequired", FailureClass::administrative},
    {"userActionRequired", FailureClass::administrative},
    {"externalAccountRequired", FailureClass::administrative},
    {"invalidContact", FailureClass::administrative},
    {"unsupportedContact", FailureClass::administrative},
});

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
  Subproblem subproblem{.type = text_of(json, "type"), .detail = text_of(json, "detail")};
  if (const auto identifier = json.find("identifier"); identifier != json.end() && identifier->is_object())
    subproblem.identifier = text_of(*identifier, "value");
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
  problem.json = dump_json(document);
  if (problem.json.size() > max_document_octets) problem.json = shortened(document);
  return problem;
}

std::optional<FailureClass> known_class(const Problem& problem) {
  const auto known =
      std::ranges::find_if(classes_of_types, [&](const auto& entry) { return problem.is(entry.first); });
  return known != classes_of_types.end() ? std::optional(known->second) : std::nullopt;
}

bool contains(std::string_view text, std::string_view words) {
  return text.find(words) != std::string_view::npos;
}

/// RFC 8555 §7.3.6 has no type of its own for it. The sentences are those of Boulder (and its kin) and
/// Pebble.
bool is_deactivated_account(const Problem& problem) {
  const std::string detail = to_lower_ascii(problem.detail);
  return problem.is("unauthorized") &&
         (contains(detail, "account is not valid") || contains(detail, "account has been deactivated"));
}

/// §6.7.1: as bad as the worst of its parts.
FailureClass class_of_compound(const Problem& problem) {
  constexpr auto worst_first = std::to_array({FailureClass::permanent, FailureClass::administrative,
                                              FailureClass::limited, FailureClass::validation});
  for (const FailureClass failure_class : worst_first)
    for (const Subproblem& part : problem.subproblems)
      if (!part.type.empty() && without_prefix(part.type) != "compound" &&
          classify({.type = part.type, .detail = part.detail}) == failure_class)
        return failure_class;
  return FailureClass::transient;
}

FailureClass class_of_status(const Problem& problem) {
  switch (problem.status) {
    case 429:
      return FailureClass::limited;
    case 400:
    case 403:
    case 409:
    case 413:
    case 415:
    case 422:
      // Without a type it may be anybody's answer, such as a proxy's.
      return problem.type.empty() ? FailureClass::transient : FailureClass::permanent;
    default:
      return FailureClass::transient;
  }
}

std::string sentence(const Problem& problem, std::string_view doing) {
  std::string text = std::string(doing) + ": " + problem.detail;
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

std::string Problem::code() const {
  const bool is_acme = type.starts_with(acme_prefix) || is("compound") || known_class(*this);
  return is_acme ? short_type() : std::string();
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

FailureClass classify(const Problem& problem) {
  if (is_paused(problem) || is_deactivated_account(problem)) return FailureClass::administrative;
  if (problem.is("compound")) return class_of_compound(problem);
  // What cannot be found now (an authorization that expired, say) need not be looked for again.
  if (problem.is("malformed") && problem.status == 404) return FailureClass::transient;
  return known_class(problem).value_or(class_of_status(problem));
}

namespace {

Failure failure_of(const http::Response& response, std::string_view doing, FailedRequest request) {
  Failure failure = error_of(response, doing).failure();
  request.status = response.status;
  failure.request = std::move(request);
  return failure;
}

}  // namespace

Refusal::Refusal(const http::Response& response, std::string_view doing, FailedRequest request)
    : Error(failure_of(response, doing, std::move(request))), status_(response.status) {}

Error error_of(const http::Response& response, std::string_view doing) {
  const Problem problem = problem_of(response);
  Failure failure{.failure_class = classify(problem),
                  .code = problem.code().empty() ? "http_" + std::to_string(response.status) : problem.code(),
                  .detail = sentence(problem, doing),
                  .problem = problem.json,
                  .retry_after = http::retry_after_of(response, now())};
  if (response.status == 503 && failure.retry_after && failure.failure_class == FailureClass::transient)
    failure.failure_class = FailureClass::limited;
  if (failure.failure_class == FailureClass::limited) {
    failure.limit = used_up_limit(problem, response);
    if (!failure.retry_after) failure.retry_after = wait_in_sentence(problem, response, now());
  }
  if (is_paused(problem)) {
    failure.code = name_paused_code;
    failure.limit = UsedUpLimit{.scope = LimitScope::identifier, .subject = paused_name(problem)};
  }
  return Error(std::move(failure));
}

}  // namespace csrq::acme
