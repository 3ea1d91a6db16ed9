#include "http/request_rules.hpp"

#include <algorithm>

#include "base/identifier.hpp"
#include "base/network.hpp"

namespace csrq::http {
namespace {

using boost::beast::http::field;
using boost::beast::http::verb;

constexpr unsigned http_1_1 = 11;

std::string_view view(boost::beast::string_view text) {
  return {text.data(), text.size()};
}

bool is_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool has_only(std::string_view text, std::string_view more) {
  return std::ranges::all_of(
      text, [more](char c) { return is_alphanumeric(c) || more.find(c) != std::string_view::npos; });
}

bool is_decimal(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

/// uri-host [ ":" port ] (RFC 9110 §7.2, RFC 3986 §3.2.2). It may be empty.
bool is_authority(std::string_view text) {
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos || !ip_octets(text.substr(1, end - 1))) return false;
    const std::string_view rest = text.substr(end + 1);
    return rest.empty() || (rest.starts_with(':') && is_decimal(rest.substr(1)));
  }
  const std::size_t colon = text.find(':');
  const bool has_good_port = colon == std::string_view::npos || is_decimal(text.substr(colon + 1));
  return has_good_port && has_only(text.substr(0, colon), "-._~%!$&'()*+,;=");
}

bool has_sound_framing(const RequestHeader& request) {
  const std::size_t encodings = request.count(field::transfer_encoding);
  const std::size_t lengths = request.count(field::content_length);
  if (encodings == 0)
    return lengths == 0 || (lengths == 1 && is_decimal(view(request[field::content_length])));
  // What HTTP/1.0 makes of an encoding, nobody knows (RFC 9112 §6.1).
  return encodings == 1 && lengths == 0 && request.version() >= http_1_1 &&
         to_lower_ascii(view(request[field::transfer_encoding])) == "chunked";
}

bool has_sound_host(const RequestHeader& request) {
  const std::size_t hosts = request.count(field::host);
  if (hosts == 0) return request.version() < http_1_1;
  return hosts == 1 && is_authority(view(request[field::host]));
}

/// Of a request with sound framing.
bool has_body(const RequestHeader& request) {
  const std::string_view length = view(request[field::content_length]);
  return request.count(field::transfer_encoding) > 0 ||
         length.find_first_not_of('0') != std::string_view::npos;
}

}  // namespace

std::optional<Rejection> rejection_of(const RequestHeader& request) {
  if (!has_sound_framing(request) || !has_sound_host(request)) return Rejection{.status = 400};
  const bool body = has_body(request);
  if (request.method() != verb::get && request.method() != verb::head)
    return Rejection{.status = 405, .closes = body};
  if (body) return Rejection{.status = 413};
  if (!target_of(view(request.target()))) return Rejection{.status = 400};
  return std::nullopt;
}

std::optional<Target> target_of(std::string_view text) {
  if (text.starts_with('/')) return Target{.path = std::string(text), .authority = {}};
  const std::size_t scheme_end = text.find("://");
  if (scheme_end == std::string_view::npos) return std::nullopt;
  const std::string scheme = to_lower_ascii(text.substr(0, scheme_end));
  const std::string_view rest = text.substr(scheme_end + 3);
  const std::string_view authority = rest.substr(0, rest.find_first_of("/?#"));
  if ((scheme != "http" && scheme != "https") || authority.empty() || !is_authority(authority))
    return std::nullopt;
  const std::string_view path = rest.substr(authority.size());
  return Target{.path = (path.starts_with('/') ? "" : "/") + std::string(path),
                .authority = std::string(authority)};
}

}  // namespace csrq::http
