#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "challenges/solver.hpp"
#include "http/server.hpp"

namespace csrq::challenges {

/// RFC 8555 §8.3: the CA fetches http://NAME/.well-known/acme-challenge/TOKEN.
class Http01 final : public Solver {
 public:
  std::string_view type() const override { return "http-01"; }
  std::string why_not(const Identifier& identifier) const override;
  void self_check(http::Client& client, const Identifier& identifier, const std::string& token,
                  const std::string& key_authorization) const override;
};

/// Fetches `url`, follows redirects to the same path, and compares what is there. Takes 5 s at most, all
/// redirects together. A redirect to https passes if the certificate there does not verify: a CA would not
/// mind, and csrq cannot look further. Throws as Solver::self_check does.
void check_answer(http::Client& client, const std::string& url, const std::string& key_authorization);

/// The token in a request target ("/.well-known/acme-challenge/TOKEN", a query is ignored), or nothing for
/// any other path.
std::optional<std::string> token_of_target(std::string_view target);

/// The key authorization of a token, or nothing.
using TokenLookup = std::function<std::optional<std::string>(const std::string& token)>;

/// Answers a known token with its key authorization and everything else with 404 and `not_found_body`.
http::Handler http_01_handler(TokenLookup lookup);

/// Lets `csrq doctor` tell this responder's 404 from another server's.
inline constexpr std::string_view not_found_body = "csrq: no such challenge\n";

}  // namespace csrq::challenges
