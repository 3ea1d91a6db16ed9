#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "acme/problem_type.hpp"
#include "acme/request_kind.hpp"
#include "base/error.hpp"
#include "http/client.hpp"

namespace csrq::acme {

/// RFC 8555 §6.7.1: what went wrong with one identifier of several.
struct Subproblem {
  std::string type{};
  std::string detail{};
  std::string identifier{};
};

/// RFC 9457 with ACME's members.
struct Problem {
  std::string type{};  ///< "urn:ietf:params:acme:error:dns"
  std::string detail{};
  int status{};
  std::vector<Subproblem> subproblems{};
  std::vector<std::string> algorithms{};  ///< RFC 8555 §6.2: those that the CA takes (badSignatureAlgorithm)
  std::string json{};                     ///< the whole document as it came

  bool is(
      std::string_view short_type) const;  ///< is(problem_type::bad_nonce), with or without the urn: prefix
  std::string short_type() const;          ///< "badNonce"; the whole type if it is not an ACME type
  /// It has a type of ACME's, so the CA has said it, and not something in front of the CA.
  bool is_acme() const;
  /// What failures are counted by: short_type() of a known ACME type. Empty for any other type: a CA may make
  /// up a new one for each answer, or one that is a code of csrq's own.
  std::string code() const;
};

/// The problem of an answer that is not a success, whatever its body: a problem document, JSON of another
/// shape, HTML, nothing.
Problem problem_of(const http::Response& response);
/// A problem document inside an order or challenge ("error"), as JSON text.
Problem parse_problem(std::string_view json);

/// ARCHITECTURE.md, "Failure classes": by the rules (refusal_rules.hpp); a compound problem is as bad as the
/// worst of its parts (RFC 8555 §6.7.1).
FailureClass classify(const Problem& problem, RequestKind request);

/// Whether the CA refuses an account that was deactivated or revoked: code "account_deactivated". RFC 8555
/// §7.3.6 has no type of its own for this. A challenge or an order may quote anybody's words. These are never
/// about the account.
bool is_of_ended_account(const Problem& problem, RequestKind request);

/// The failure of an unsuccessful answer: class, code, detail, document, Retry-After. `action` begins the
/// sentence: "newOrder at ca.example".
Error error_of(const http::Response& response, RequestKind request, std::string_view action);

/// What Ca throws for an unsuccessful answer: error_of(), the request, and the answer for callers that know
/// more about it.
class Refusal : public Error {
 public:
  Refusal(const http::Response& response, RequestKind request, std::string_view action, FailedRequest sent);
  int status() const noexcept { return problem_.status; }
  const Problem& problem() const noexcept { return problem_; }
  /// The CA itself says that what was asked for is not there, or not this account's.
  bool says_gone() const;

 private:
  Problem problem_;
};

}  // namespace csrq::acme
