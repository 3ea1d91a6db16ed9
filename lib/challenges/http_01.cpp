#include "challenges/http_01.hpp"

#include "base/error.hpp"
#include "http/link.hpp"
#include "http/text.hpp"

namespace csrq::challenges {
namespace {

constexpr std::string_view path_prefix = "/.well-known/acme-challenge/";
constexpr int most_redirects = 10;

[[noreturn]] void refuse(const std::string& url, const std::string& found) {
  fail(FailureClass::validation, "self_check",
       "self-check of " + url + ": " + found +
           "; the CA was not asked to look (docs/http-01.md shows how to lead this path to csrq)");
}

std::string host_in_url(const Identifier& identifier) {
  const bool is_ipv6 =
      identifier.type == IdentifierType::ip && identifier.value.find(':') != std::string::npos;
  return is_ipv6 ? "[" + identifier.value + "]" : identifier.value;
}

/// Nothing: it is behind a TLS server that only a CA would accept.
std::optional<http::Response> fetch(http::Client& client, const std::string& url) {
  try {
    return client.send({.method = "GET", .url = url});
  } catch (const Error& error) {
    if (error.failure().code == "tls") return std::nullopt;
    refuse(url, error.what());
  }
}

/// CAs follow redirects to the usual ports only; so does csrq, lest a redirect makes it ask anything inside.
std::string redirect_target(const std::string& url, const http::Response& response) {
  std::string target = http::resolve_url(url, response.header("location"));
  const http::Origin origin = http::origin_of(target);
  const bool same_origin = origin == http::origin_of(url);
  const bool usual_port =
      (origin.scheme == "http" && origin.port == 80) || (origin.scheme == "https" && origin.port == 443);
  if (!same_origin && !usual_port)
    refuse(url, "the redirect leads to neither port 80 of http nor port 443 of https");
  return target;
}

}  // namespace

void Http01::self_check(http::Client& client, const Identifier& identifier, const std::string& token,
                        const std::string& key_authorization) const {
  check_answer(client, "http://" + host_in_url(identifier) + std::string(path_prefix) + token,
               key_authorization);
}

void check_answer(http::Client& client, const std::string& url, const std::string& key_authorization) {
  std::string target = url;
  for (int redirects = 0; redirects <= most_redirects; ++redirects) {
    const std::optional<http::Response> response = fetch(client, target);
    if (!response) return;
    if (response->status < 300 || response->status >= 400) {
      if (response->status != 200) refuse(url, "the answer was HTTP " + std::to_string(response->status));
      if (http::trimmed(response->body) != key_authorization)
        refuse(url, "the answer was not csrq's response");
      return;
    }
    target = redirect_target(target, *response);
  }
  refuse(url, "there are more than " + std::to_string(most_redirects) + " redirects");
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

}  // namespace csrq::challenges
