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
  Challenge challenge{
      .type = object.required_text("type"), .url = object.required_url("url"), .token = object.text("token")};
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

/// False also if that cannot be found out.
bool is_answered(Session& session, const Challenge& challenge) {
  try {
    const http::Response response = session.ca.get(session.signer, challenge.url, "challenge");
    return read_challenge(Object::parse(response.body, {.url = challenge.url})).status !=
           ChallengeStatus::pending;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

Authorization get_authorization(Session& session, const std::string& url) {
  return read_authorization(session.ca.get(session.signer, url, "authorization"), url);
}

void respond(Session& session, const Challenge& challenge) {
  try {
    session.ca.post(session.signer, challenge.url, "{}", "challenge response");
  } catch (const Refusal& refusal) {
    const FailureClass failure_class = refusal.failure().failure_class;
    const bool of_the_request = refusal.status() < 500 && failure_class != FailureClass::limited &&
                                failure_class != FailureClass::administrative;
    if (!of_the_request || !is_answered(session, challenge)) throw;
  }
}

Authorization deactivate_authorization(Session& session, const std::string& url) {
  return read_authorization(
      session.ca.post(session.signer, url, R"({"status":"deactivated"})", "authorization deactivation"), url);
}

}  // namespace csrq::acme
