#include "acme/authorization.hpp"

#include <algorithm>

#include "acme/json.hpp"
#include "base/error.hpp"
#include "http/retry_after.hpp"

namespace csrq::acme {

namespace {

AuthorizationStatus status_of(const std::string& name) {
  // Some CAs let an authorization share its challenge's state.
  if (name == "processing") return AuthorizationStatus::pending;
  return parse<AuthorizationStatus>(name).value_or(AuthorizationStatus::invalid);
}

Identifier identifier_of(const Object& object) {
  const std::string type = object.required_text("type");
  const std::string value = object.required_text("value");
  if (type == "dns")
    return {.type = IdentifierType::dns, .value = std::string(without_wildcard(to_lower_ascii(value)))};
  if (type == "ip") return {.type = IdentifierType::ip, .value = canonical_ip(value).value_or(value)};
  object.refuse("the identifier is of a type that csrq did not ask for");
}

/// Throws Error if the entry cannot be used.
Challenge read_challenge(const Object& object) {
  Challenge challenge{.type = object.required_text("type"),
                      .url = object.required_url("url"),
                      .token = object.text("token"),
                      .json = dump_json(object.json())};
  const std::optional<ChallengeStatus> status = parse<ChallengeStatus>(object.required_text("status"));
  if (!status) object.refuse("the challenge has a status that csrq does not know");
  challenge.status = *status;
  if (const auto error = object.json().find("error"); error != object.json().end() && error->is_object())
    challenge.error = parse_problem(dump_json(*error));
  return challenge;
}

std::vector<Challenge> read_challenges(const Object& authorization, const Source& source) {
  std::vector<Challenge> challenges;
  const auto list = authorization.json().find("challenges");
  if (list == authorization.json().end() || !list->is_array()) return challenges;
  for (const Json& entry : *list) {
    if (!entry.is_object()) continue;
    try {
      challenges.push_back(read_challenge(Object(entry, source)));
    } catch (const Error&) {
      // One that is of no use does not make the others useless.
    }
  }
  return challenges;
}

Authorization read_authorization(const http::Response& response, const std::string& url) {
  const Source source{.url = url};
  const Object object = Object::parse(response.body, source);
  const std::optional<Object> identifier = object.object("identifier");
  if (!identifier) object.refuse("the member `identifier` is missing");
  Authorization authorization{.url = url, .identifier = identifier_of(*identifier)};
  authorization.wildcard = object.flag("wildcard") || is_wildcard(identifier->text("value"));
  authorization.status = status_of(object.required_text("status"));
  authorization.expires = parse_rfc3339(object.text("expires"));
  authorization.challenges = read_challenges(object, source);
  authorization.retry_after = http::retry_after_of(response, now());
  return authorization;
}

Challenge read_answer(const http::Response& response, const std::string& url) {
  return read_challenge(Object::parse(response.body, {.url = url}));
}

/// False also if that cannot be found out.
bool is_answered(Session& session, const Challenge& challenge) {
  try {
    const http::Response response = session.ca.get(session.signer, challenge.url, RequestKind::challenge);
    return read_answer(response, challenge.url).status != ChallengeStatus::pending;
  } catch (const Error&) {
    return false;
  }
}

/// A refusal of the challenge, or a page that is no challenge; nothing that holds for more than this request.
bool is_of_the_request(const Error& error) {
  const FailureClass failure_class = error.failure().failure_class;
  if (failure_class == FailureClass::limited || failure_class == FailureClass::administrative) return false;
  const auto* refusal = dynamic_cast<const Refusal*>(&error);
  return refusal ? refusal->status() < 500 : error.failure().code == ErrorCode::bad_answer;
}

[[noreturn]] void fail_as_lost(const std::string& url, const Failure& refusal) {
  Failure failure = refusal;
  failure.failure_class = FailureClass::transient;
  failure.code = to_string(ErrorCode::authorization_lost);
  failure.detail = "the CA no longer knows the authorization " + url + ": " + refusal.detail;
  throw Error(std::move(failure));
}

}  // namespace

Identifier ordered_identifier(const Authorization& authorization) {
  Identifier identifier = authorization.identifier;
  if (authorization.wildcard) identifier.value.insert(0, "*.");
  return identifier;
}

Authorization get_authorization(Session& session, const std::string& url) {
  try {
    return read_authorization(session.ca.get(session.signer, url, RequestKind::authorization), url);
  } catch (const Refusal& refusal) {
    if (refusal.says_gone()) fail_as_lost(url, refusal.failure());
    throw;
  }
}

void respond(Session& session, const Challenge& challenge) {
  try {
    read_answer(session.ca.post(session.signer, challenge.url, "{}", RequestKind::challenge_response),
                challenge.url);
  } catch (const Error& error) {
    if (!is_of_the_request(error) || !is_answered(session, challenge)) throw;
  }
}

Authorization deactivate_authorization(Session& session, const std::string& url) {
  return read_authorization(
      session.ca.post(session.signer, url, R"({"status":"deactivated"})", RequestKind::deactivation), url);
}

}  // namespace csrq::acme
