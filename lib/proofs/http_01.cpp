#include "proofs/http_01.hpp"

#include <algorithm>
#include <chrono>

#include "base/error.hpp"
#include "base/log.hpp"
#include "http/text.hpp"
#include "http/url.hpp"

namespace csrq::proofs {
namespace {

constexpr std::string_view path_prefix = "/.well-known/acme-challenge/";
constexpr int most_redirects = 10;
constexpr auto longest_look = std::chrono::seconds(5);

using Clock = std::chrono::steady_clock;

/// For the log; the row is told the same sentence whatever it is.
[[noreturn]] void give_up(const std::string& found) {
  fail(FailureClass::validation, ErrorCode::self_check, found);
}

std::string host_in_url(const Identifier& identifier) {
  const bool is_ipv6 =
      identifier.type == IdentifierType::ip && identifier.value.find(':') != std::string::npos;
  return is_ipv6 ? "[" + identifier.value + "]" : identifier.value;
}

/// Nothing: it is behind a TLS server that only a CA would accept.
std::optional<http::Response> fetch(http::Client& client, const std::string& url, Duration left) {
  try {
    return client.send({.method = "GET", .url = url, .timeout = left});
  } catch (const Error& error) {
    if (error.failure().code == ErrorCode::tls) return std::nullopt;
    throw;
  }
}

/// With what follows it; `url` is absolute.
std::string_view path_of(std::string_view url) {
  const std::size_t authority = url.find("://") + 3;
  return url.substr(std::min(url.find_first_of("/?#", authority), url.size()));
}

/// CAs follow redirects to the usual ports only, and elsewhere than to the same path nobody needs them: lest
/// a redirect makes csrq ask anybody anything.
std::string redirect_target(const std::string& url, const http::Response& response) {
  std::string target = http::resolve_url(url, response.header("location"));
  const http::Origin origin = http::origin_of(target);
  const bool same_origin = origin == http::origin_of(url);
  const bool usual_port =
      (origin.scheme == "http" && origin.port == 80) || (origin.scheme == "https" && origin.port == 443);
  if (!same_origin && !usual_port)
    give_up("the redirect leads to neither port 80 of http nor port 443 of https");
  if (http::host_of_url(target).empty() || path_of(target) != path_of(url))
    give_up("the redirect leads to another path");
  return target;
}

/// What stands at the end of the way; nothing if csrq cannot see that far.
std::optional<http::Response> follow(http::Client& client, std::string url) {
  const Clock::time_point until = Clock::now() + longest_look;
  for (int redirects = 0; redirects <= most_redirects; ++redirects) {
    const Duration left = std::chrono::floor<Duration>(until - Clock::now());
    if (left <= Duration::zero()) give_up("it takes too long");
    std::optional<http::Response> response = fetch(client, url, left);
    if (!response || response->status < 300 || response->status >= 400) return response;
    url = redirect_target(url, *response);
  }
  give_up("there are more than " + std::to_string(most_redirects) + " redirects");
}

void compare(const http::Response& response, const std::string& key_authorization) {
  if (response.status != 200) give_up("the answer was HTTP " + std::to_string(response.status));
  if (http::trimmed(response.body) != key_authorization) give_up("the answer was not csrq's response");
}

}  // namespace

Http01::Http01(std::unique_ptr<SelfChecks> self_checks) : self_checks_(std::move(self_checks)) {}

std::optional<Answer> Http01::answer(const acme::Challenge& challenge, const Identifier& identifier,
                                     const Prover& prover) const {
  if (!is_token(challenge.token)) return std::nullopt;
  return Answer{.identifier = identifier,
                .challenge = challenge,
                .key_authorization = key_authorization(challenge.token, prover.thumbprint)};
}

std::optional<NotYet> Http01::placed(std::span<Answer> answers, const std::string& customer) const {
  const auto look = [](http::Client& client, const Answer& answer) {
    check_answer(
        client,
        "http://" + host_in_url(answer.identifier) + std::string(path_prefix) + answer.challenge.token,
        answer.key_authorization);
  };
  if (self_checks_ && !self_checks_->have_seen(answers, look, customer))
    return NotYet{.wait = SelfChecks::pause,
                  .code = to_string(ErrorCode::self_check_waits),
                  .detail =
                      "this worker looks at as many responses of others, or of the same customer, as "
                      "it may at once (challenges.http-01.self_check)"};
  for (Answer& answer : answers) answer.is_placed = true;
  return std::nullopt;
}

/// The ledger does it, in the transaction that ends the order, and knows which other order needs it.
void Http01::take_away(std::span<const Answer>) const noexcept {}

void check_answer(http::Client& client, const std::string& url, const std::string& key_authorization) {
  try {
    if (const std::optional<http::Response> response = follow(client, url))
      compare(*response, key_authorization);
  } catch (const Error& error) {
    log::info("a self-check has not found csrq's response", {{"url", url}, {"found", error.what()}});
    fail(FailureClass::validation, ErrorCode::self_check,
         "csrq looked for its response below " + url.substr(0, url.rfind('/') + 1) +
             " and did not get it; the CA was not asked to look (docs/http-01.md shows how to lead this path "
             "to csrq, and what a self-check asks)");
  }
}

std::string Http01::why_not(const Identifier& identifier) const {
  if (identifier.type == IdentifierType::dns && is_wildcard(identifier.value))
    return "http-01 cannot prove control of the wildcard " + identifier.value;
  return {};
}

std::optional<std::string> token_of_target(std::string_view target) {
  if (!target.starts_with(path_prefix)) return std::nullopt;
  target.remove_prefix(path_prefix.size());
  const std::string_view token = target.substr(0, target.find('?'));
  if (!is_token(token)) return std::nullopt;
  return std::string(token);
}

http::Handler http_01_handler(TokenLookup lookup) {
  return [lookup = std::move(lookup)](const http::ServerRequest& request) -> http::ServerResponse {
    const std::optional<std::string> token = token_of_target(request.target);
    const std::optional<std::string> answer = token ? lookup(*token) : std::nullopt;
    if (!answer)
      return {
          .status = 404, .content_type = "text/plain; charset=utf-8", .body = std::string(not_found_body)};
    return {.status = 200, .content_type = "application/octet-stream", .body = *answer};
  };
}

}  // namespace csrq::proofs
