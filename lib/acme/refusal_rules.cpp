#include "acme/refusal_rules.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <ranges>
#include <stdexcept>

#include "acme/used_up_limit.hpp"

namespace csrq::acme {

namespace {

using enum FailureClass;

constexpr std::optional<RequestKind> any;

constexpr auto rules = std::to_array<RefusalRule>({
    {any, "503 with Retry-After", limited, "csrq leaves the whole CA alone until then"},
    {any, "429 without an ACME problem", limited,
     "something in front of the CA: csrq waits as long as it says"},
    {any, "no ACME problem", transient,
     "somebody else's page: it ends no order, account or authorization, and is no success either"},
    {any, "badNonce, serverInternal", transient, "tried again"},
    {any, "rateLimited for a paused name", administrative,
     "code `name_paused`: the name waits until a person unpauses it"},
    {any, "rateLimited", limited, "rows that would be told the same wait, too"},
    {any, "unauthorized for an account that has ended", administrative,
     "code `account_deactivated`: csrq asks the CA once more by the key, then writes the account's status; "
     "its rows wait"},
    {any, "accountDoesNotExist", administrative, "csrq registers its key again, once; then as newAccount"},
    {any,
     "userActionRequired, agreementRequired, externalAccountRequired, invalidContact, unsupportedContact",
     administrative, "a person has to act: the sentence says how"},

    {RequestKind::new_account, "anything else", administrative,
     "the configuration: one alarm, the rows of the account wait, no further newAccount before something "
     "changes"},
    {RequestKind::account_lookup, "anything else", administrative, "as newAccount"},

    {RequestKind::new_order, "dns, connection, tls, caa, incorrectResponse", validation,
     "about the names: tried again by the schedule"},
    {RequestKind::new_order, "unauthorized, badPublicKey, badSignatureAlgorithm", administrative,
     "about the account: a person has to act"},
    {RequestKind::new_order, "alreadyReplaced", transient, "ordered again without `replaces`"},
    {RequestKind::new_order, "orderNotReady, 404, 409, 410, 5xx", transient, "ordered again"},
    {RequestKind::new_order, "anything else", permanent, "about the names or the profile"},

    {RequestKind::order, "malformed, unauthorized, 404, 410", transient,
     "code `order_lost`: the CA no longer has the order, the next attempt opens another"},
    {RequestKind::authorization, "malformed, unauthorized, 404, 410", transient,
     "code `authorization_lost`: its order is closed, the next attempt opens another"},

    {RequestKind::challenge_response, "unauthorized, dns, connection, tls, caa, incorrectResponse",
     validation, "if the challenge, read again, is still pending; else the CA has our answer"},
    {RequestKind::challenge_response, "anything else", transient,
     "if the challenge, read again, is still pending; else the CA has our answer"},
    {RequestKind::challenge_error, "rejectedIdentifier, unsupportedIdentifier", permanent,
     "the CA's last word"},
    {RequestKind::challenge_error, "anything else", validation, "the next attempt opens another order"},

    {RequestKind::finalize, "dns, connection, tls, caa, incorrectResponse", validation,
     "about the names: tried again by the schedule"},
    {RequestKind::finalize, "orderNotReady, malformed, 404, 409, 410, 5xx", transient,
     "if the order, read again, goes on; else the order says what became of it"},
    {RequestKind::finalize, "anything else", permanent,
     "about the CSR, if the order, read again, is ready; else the order says what became of it"},
    {RequestKind::order_error, "dns, connection, tls, caa, incorrectResponse", validation,
     "the next attempt opens another order"},
    {RequestKind::order_error,
     "badCSR, badPublicKey, badSignatureAlgorithm, malformed, rejectedIdentifier, unsupportedIdentifier, "
     "invalidProfile, onionCAARequired",
     permanent, "about the CSR"},
    {RequestKind::order_error, "anything else", transient, "the next attempt opens another order"},

    {RequestKind::key_change, "anything else", administrative, "about the account's keys"},
    {RequestKind::revoke_cert, "alreadyRevoked", permanent, "done"},
    {RequestKind::revoke_cert, "404, 410, 5xx", transient, "tried again"},
    {RequestKind::revoke_cert, "anything else", permanent, "about the certificate or the reason"},
    {RequestKind::deactivation, "404, 410", transient, "the authorization is over"},
    {RequestKind::deactivation, "409, 5xx", transient, "tried again"},
    {RequestKind::deactivation, "anything else", permanent,
     "if the authorization, read again, is still pending: csrq writes this down and does not ask again"},

    {any, "anything else", transient, "tried again"},
});

struct Answer {
  const Problem& problem;
  RequestKind request;
  bool is_busy;

  /// What an order or a challenge quotes is the CA's word, whatever its type.
  bool is_of_the_ca() const {
    return problem.is_acme() || request == RequestKind::challenge_error ||
           request == RequestKind::order_error;
  }
};

/// "404" or "5xx".
bool is_status(std::string_view word, int status) {
  if (word == "5xx") return status >= 500;
  int number = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
  return error == std::errc{} && end == word.data() + word.size() && number == status;
}

bool is_one_of(std::string_view words, const Answer& answer) {
  return std::ranges::any_of(words | std::views::split(std::string_view(", ")), [&](auto part) {
    const std::string_view word(part.begin(), part.end());
    return answer.problem.is(word) || is_status(word, answer.problem.status);
  });
}

bool fits(const RefusalRule& rule, const Answer& answer) {
  if (rule.request && *rule.request != answer.request) return false;
  if (rule.answers == "anything else") return true;
  if (rule.answers == "503 with Retry-After") return answer.is_busy;
  if (rule.answers == "429 without an ACME problem")
    return answer.problem.status == 429 && !answer.is_of_the_ca();
  if (rule.answers == "no ACME problem") return !answer.is_of_the_ca();
  if (rule.answers == "rateLimited for a paused name") return is_paused(answer.problem);
  if (rule.answers == "unauthorized for an account that has ended")
    return is_of_ended_account(answer.problem, answer.request);
  return is_one_of(rule.answers, answer);
}

}  // namespace

std::span<const RefusalRule> refusal_rules() {
  return rules;
}

const RefusalRule& rule_for(const Problem& problem, RequestKind request, bool is_busy) {
  const Answer answer{.problem = problem, .request = request, .is_busy = is_busy};
  return *std::ranges::find_if(rules, [&](const RefusalRule& rule) { return fits(rule, answer); });
}

std::string_view to_string(RequestKind request) {
  constexpr auto names = std::to_array<std::string_view>(
      {"directory", "newNonce", "newAccount", "account look-up", "list of orders", "newOrder", "order",
       "authorization", "challenge", "challenge response", "a challenge's error", "finalize",
       "an order's error", "certificate download", "issuer download", "keyChange", "revokeCert",
       "authorization deactivation", "renewalInfo"});
  return names.at(static_cast<std::size_t>(request));
}

}  // namespace csrq::acme
