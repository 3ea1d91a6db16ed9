#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "http/server.hpp"
#include "proofs/self_checks.hpp"

namespace csrq::proofs {

/// RFC 8555 §8.3: the CA fetches http://NAME/.well-known/acme-challenge/TOKEN. Whoever answers it, on this
/// machine or another, reads the answer from the ledger: as soon as it is there, it is placed.
class Http01 final : public Proof {
 public:
  /// `self_checks`: csrq looks at each answer itself before the CA is told to; null: it does not.
  explicit Http01(std::unique_ptr<SelfChecks> self_checks = nullptr);

  std::string_view type() const override { return "http-01"; }
  std::string why_not(const Identifier& identifier) const override;
  std::optional<Answer> answer(const acme::Challenge& challenge, const Identifier& identifier,
                               const Prover& prover) const override;
  std::optional<NotYet> placed(std::span<Answer> answers, const std::string& customer) const override;
  void take_away(std::span<const Answer> answers) const noexcept override;

 private:
  const std::unique_ptr<SelfChecks> self_checks_;
};

/// Fetches `url`, follows redirects to the same path, and compares what is there. Takes 5 s at most, all
/// redirects together. A redirect to https passes if the certificate there does not verify: a CA would not
/// mind, and csrq cannot look further. Throws
/// Error{validation, "self_check"} with one sentence for whatever is wrong: what was found is for the log, since
/// the row's owner could learn from it what else can be reached from here.
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

}  // namespace csrq::proofs
