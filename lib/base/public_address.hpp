#pragma once

#include <optional>
#include <string_view>

#include "base/network.hpp"

namespace csrq {

/// 4 or 16 octets in network order; nothing for any other length.
std::optional<IpOctets> ip_octets_of(std::string_view octets);

/// The IPv4 address that a translator (NAT64, RFC 6052 §2.1) turns this one into; any other address is
/// itself.
IpOctets untranslated(const IpOctets& address);

/// Whether anybody on the Internet may be behind it: a global unicast address that IANA's registries of
/// special addresses (RFC 6890) do not set apart for a host itself, a link, a site, tests, documents or
/// tunnels. One behind NAT64 is what it is translated into.
bool is_public(const IpOctets& address);

}  // namespace csrq
