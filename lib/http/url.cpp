#include "http/url.hpp"

#include <curl/curl.h>

#include <algorithm>
#include <charconv>
#include <memory>

#include "base/identifier.hpp"

namespace csrq::http {

namespace {

using Url = std::unique_ptr<CURLU, decltype(&curl_url_cleanup)>;

/// User information in a URL that a server hands out would turn into credentials on our requests.
constexpr unsigned int parse_flags = CURLU_DISALLOW_USER;

bool is_control(char character) {
  const auto octet = static_cast<unsigned char>(character);
  return octet < 0x20 || octet == 0x7f;
}

/// An absolute URL, or one relative to what `url` holds already. libcurl 8 looks for control characters in
/// absolute ones only.
bool set_url(const Url& url, std::string_view text) {
  if (std::ranges::any_of(text, is_control)) return false;
  return curl_url_set(url.get(), CURLUPART_URL, std::string(text).c_str(), parse_flags) == CURLUE_OK;
}

Url parse_url(std::string_view text) {
  Url url(curl_url(), &curl_url_cleanup);
  if (url && !set_url(url, text)) url.reset();
  return url;
}

std::string part_of(const Url& url, CURLUPart part, unsigned int flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url.get(), part, &text, flags) != CURLUE_OK) return {};
  std::string copy(text);
  curl_free(text);
  return copy;
}

bool is_host(std::string_view text) {
  return std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_';
  });
}

bool is_port(std::string_view text) {
  constexpr std::size_t most_digits = 5;
  return text.empty() || (text.front() == ':' && text.size() > 1 && text.size() <= 1 + most_digits &&
                          std::ranges::all_of(text.substr(1), [](char c) { return c >= '0' && c <= '9'; }));
}

}  // namespace

std::string resolve_url(std::string_view base, std::string_view reference) {
  const Url url = parse_url(base);
  if (!url) return {};
  curl_url_set(url.get(), CURLUPART_FRAGMENT, nullptr, 0);
  // Older libcurl drops the base's query when the reference is a fragment alone.
  const bool same_document = reference.empty() || reference.starts_with('#');
  const std::string target = (same_document ? part_of(url, CURLUPART_URL) : std::string()).append(reference);
  if (!set_url(url, target)) return {};
  return part_of(url, CURLUPART_URL);
}

Origin origin_of(std::string_view url) {
  const Url parsed = parse_url(url);
  if (!parsed) return {};
  Origin origin{part_of(parsed, CURLUPART_SCHEME), to_lower_ascii(part_of(parsed, CURLUPART_HOST)), 0};
  const std::string port = part_of(parsed, CURLUPART_PORT, CURLU_DEFAULT_PORT);
  std::from_chars(port.data(), port.data() + port.size(), origin.port);
  return origin;
}

std::string_view host_of_url(std::string_view url) {
  const std::size_t scheme_end = url.find("://");
  if (scheme_end == std::string_view::npos) return {};
  std::string_view authority = url.substr(scheme_end + 3);
  authority = authority.substr(0, authority.find_first_of("/?#"));
  if (authority.starts_with('[')) {
    const std::size_t end = authority.find(']');
    if (end == std::string_view::npos || !canonical_ip(authority.substr(1, end - 1))) return {};
    return is_port(authority.substr(end + 1)) ? authority.substr(0, end + 1) : std::string_view();
  }
  const std::string_view host = authority.substr(0, authority.find(':'));
  return is_host(host) && is_port(authority.substr(host.size())) ? host : std::string_view();
}

bool is_loopback(std::string_view host) {
  if (host == "[::1]" || to_lower_ascii(host) == "localhost") return true;
  return host.starts_with("127.") && canonical_ip(host) == std::string(host);
}

bool is_private_web_url(std::string_view url) {
  const std::string_view host = host_of_url(url);
  if (host.empty()) return false;
  return url.starts_with("https://") || (url.starts_with("http://") && is_loopback(host));
}

bool is_usable_url(std::string_view url) {
  const auto visible = [](char character) { return character > ' ' && character < '\x7f'; };
  if (url.empty() || url.size() > max_url_octets || !std::ranges::all_of(url, visible)) return false;
  const Origin origin = origin_of(url);
  return origin.scheme == "https" && !origin.host.empty();
}

}  // namespace csrq::http
