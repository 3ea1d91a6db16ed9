#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/identifier.hpp"
#include "http/client.hpp"

namespace csrq::challenges {

/// One way to prove control of an identifier: RFC 8555 §8. Stateless; safe to share between threads.
///
/// The response itself is a row (csrq.acme_challenge.key_authorization), committed before the CA is told to
/// look. Whoever answers the CA reads it from there, on this machine or another, so a solver keeps nothing
/// that a crash could lose.
class Solver {
 public:
  virtual ~Solver() = default;

  /// As in the CA's challenge objects: "http-01".
  virtual std::string_view type() const = 0;
  /// Empty if this type can prove control of `identifier` (wildcards with their "*."); else the reason, a
  /// sentence for people.
  virtual std::string why_not(const Identifier& identifier) const = 0;
  /// Asks for the response as the CA will, before the CA is told to look. What fails here costs no
  /// validation. `client` may use plain HTTP. Waits for the network, for a few seconds. Throws
  /// Error{validation, "self_check"} with the same sentence whatever is wrong. What was found goes into the
  /// log only: the row's owner could learn from it what else can be reached from here.
  virtual void self_check(http::Client& client, const Identifier& identifier, const std::string& token,
                          const std::string& key_authorization) const = 0;
};

/// Null for a type that csrq does not solve.
const Solver* find_solver(std::string_view type);
/// The types that find_solver knows, for messages.
std::vector<std::string> solver_types();

/// RFC 8555 §8.1: token "." thumbprint of the account's key.
std::string key_authorization(std::string_view token, std::string_view thumbprint);

/// True for a token as RFC 8555 §8 describes it: base64url characters only. csrq takes at most 256 of them.
/// Never store or serve anything else as a token: it would end up in paths.
bool is_token(std::string_view text);

}  // namespace csrq::challenges
