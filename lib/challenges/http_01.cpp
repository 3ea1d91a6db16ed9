#include "challenges/http_01.hpp"

namespace csrq::challenges {
namespace {

constexpr std::string_view path_prefix = "/.well-known/acme-challenge/";

}  // namespace

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
