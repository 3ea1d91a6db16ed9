#pragma once

#include <string>
#include <string_view>

namespace csrq::http {

/// RFC 3986 §5; empty if it cannot be resolved.
std::string resolve_url(std::string_view base, std::string_view reference);

/// scheme, host (lower case, as in the URL) and port of an absolute URL; empty fields if it is none.
struct Origin {
  std::string scheme{};
  std::string host{};
  int port{};
  bool operator==(const Origin&) const = default;
};
Origin origin_of(std::string_view url);

/// The host of an absolute URL, as it stands there ("[::1]" with its brackets). Empty if there is none, if
/// the URL names a user, or if two readers could understand this part of it differently.
std::string_view host_of_url(std::string_view url);

/// "localhost", an address in 127.0.0.0/8, or "[::1]".
bool is_loopback(std::string_view host);

/// Whether secrets may be sent there: https, or plain http on this machine itself.
bool is_private_web_url(std::string_view url);

inline constexpr std::size_t max_url_octets = 2048;

/// https, a host, no user name, visible ASCII, at most `max_url_octets`: what a server may tell csrq to ask.
bool is_usable_url(std::string_view url);

}  // namespace csrq::http
