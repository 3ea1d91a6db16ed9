#include "base/web_address.hpp"

#include <algorithm>
#include <charconv>
#include <string>

#include "base/identifier.hpp"

namespace csrq {
namespace {

constexpr std::string_view alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

bool has_only(std::string_view text, std::string_view more) {
  return std::ranges::all_of(text, [more](char c) {
    return alphanumeric.find(c) != std::string_view::npos || more.find(c) != std::string_view::npos;
  });
}

bool is_port(std::string_view text) {
  constexpr std::size_t most_digits = 5;
  return text.empty() || (text.front() == ':' && text.size() > 1 && text.size() <= 1 + most_digits &&
                          std::ranges::all_of(text.substr(1), [](char c) { return c >= '0' && c <= '9'; }));
}

}  // namespace

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
  return has_only(host, ".-_") && is_port(authority.substr(host.size())) ? host : std::string_view();
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

std::optional<Ipv4Endpoint> ipv4_endpoint(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos || !canonical_ip(text.substr(0, colon))) return std::nullopt;
  Ipv4Endpoint endpoint{.address = std::string(text.substr(0, colon))};
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data() + colon + 1, end, endpoint.port);
  if (error != std::errc() || rest != end || endpoint.port == 0) return std::nullopt;
  return endpoint;
}

bool is_mail_address(std::string_view text) {
  constexpr std::size_t longest_local = 64;
  constexpr std::size_t longest = 254;
  const std::size_t at = text.find('@');
  if (at == std::string_view::npos || at == 0 || at > longest_local || text.size() > longest) return false;
  const std::string_view local = text.substr(0, at);
  const std::string_view domain = text.substr(at + 1);
  return has_only(local, ".!#$%&'*+/=?^_`{|}~-") && !domain.empty() && has_only(domain, ".-") &&
         !domain.starts_with('.') && !domain.starts_with('-');
}

}  // namespace csrq
