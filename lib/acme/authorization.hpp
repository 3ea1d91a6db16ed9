#pragma once

#include <optional>
#include <string>
#include <vector>

#include "acme/ca.hpp"
#include "acme/problem.hpp"
#include "base/identifier.hpp"
#include "base/status.hpp"

namespace csrq::acme {

/// RFC 8555 §7.1.5 and §8. The type is kept as it came. Whoever picks a challenge passes over types that csrq
/// does not know.
struct Challenge {
  std::string type{};
  std::string url{};
  std::string token{};  ///< empty for types without one
  std::string json{};   ///< the whole object as it came: a type may have members of its own
  ChallengeStatus status{ChallengeStatus::pending};
  std::optional<Problem> error{};
};

/// RFC 8555 §7.1.4.
struct Authorization {
  std::string url{};
  Identifier identifier{};  ///< without "*."
  bool wildcard{};
  AuthorizationStatus status{AuthorizationStatus::pending};
  std::optional<Time> expires{};
  std::vector<Challenge> challenges{};  ///< entries that cannot be read are left out
  std::optional<Duration> retry_after{};
};

/// What was ordered: a wildcard with its "*.".
Identifier ordered_identifier(const Authorization& authorization);

/// Throws Error{transient, "authorization_lost"} when the CA itself says that it no longer knows the
/// authorization, or that another account has it (Refusal::says_gone).
Authorization get_authorization(Session& session, const std::string& url);
/// §7.5.1: tells the CA that the response is in place. Safe to repeat. After a refusal, or an answer that is
/// no challenge, this reads the challenge again: if it is no longer pending, the call has succeeded.
void respond(Session& session, const Challenge& challenge);
/// §7.5.2. Returns what the CA says the authorization is now.
Authorization deactivate_authorization(Session& session, const std::string& url);

}  // namespace csrq::acme
