#pragma once

#include <string>
#include <string_view>
#include <vector>

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
  std::string json{};  ///< the whole document as it came

  bool is(std::string_view short_type) const;  ///< is("badNonce"), with or without the urn: prefix
  std::string short_type() const;              ///< "badNonce"; the whole type if it is not an ACME type
  /// What failures are counted by: short_type() of an ACME type; empty if it is none, since a CA may make up
  /// a new one for each answer.
  std::string code() const;
};

/// The problem of an answer that is not a success, whatever its body: a problem document, JSON of another
/// shape, HTML, nothing.
Problem problem_of(const http::Response& response);
/// A problem document inside an order or challenge ("error"), as JSON text.
Problem parse_problem(std::string_view json);

/// ARCHITECTURE.md, "Failure classes": by type first, then by status.
FailureClass classify(const Problem& problem);

/// The failure of an unsuccessful answer: class, code, detail, document, Retry-After. `doing`: "newOrder",
/// "finalize", …
Error error_of(const http::Response& response, std::string_view doing);

/// What Ca throws for an unsuccessful answer: error_of(), the request, and the status for callers that know
/// more about it.
class Refusal : public Error {
 public:
  Refusal(const http::Response& response, std::string_view doing, FailedRequest request);
  int status() const noexcept { return status_; }

 private:
  int status_;
};

}  // namespace csrq::acme
