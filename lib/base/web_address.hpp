#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace csrq {

/// The host of an absolute URL, as it stands there ("[::1]" with its brackets). Empty if there is none, if
/// the URL names a user, or if two readers could understand this part of it differently.
std::string_view host_of_url(std::string_view url);

/// "localhost", an address in 127.0.0.0/8, or "[::1]".
bool is_loopback(std::string_view host);

/// Whether secrets may be sent there: https, or plain http on this machine itself.
bool is_private_web_url(std::string_view url);

struct Ipv4Endpoint {
  std::string address{};
  std::uint16_t port{};
};
/// "192.0.2.1:53"; nothing if it is anything else.
std::optional<Ipv4Endpoint> ipv4_endpoint(std::string_view text);

/// One address without a name, "ops@example.net", whose parts need no quotes. So nothing in it can end a
/// header or a command.
bool is_mail_address(std::string_view text);

}  // namespace csrq
