#pragma once

#include <array>
#include <compare>
#include <optional>
#include <string_view>

namespace csrq {

/// An address in network order; one of IPv4 as IPv4-mapped IPv6 (RFC 4291 §2.5.5.2).
using IpOctets = std::array<unsigned char, 16>;

/// Nothing if `text` is no address.
std::optional<IpOctets> ip_octets(std::string_view text);
bool is_ipv4(const IpOctets& address);
/// With the bits behind the first `bits` cleared.
IpOctets ip_prefix(IpOctets address, int bits);

/// Addresses with a common prefix (RFC 4632). "::/0" holds no IPv4 address.
class Network {
 public:
  /// "192.0.2.0/24", "2001:db8::/32" or a single address. Nothing if `text` is anything else. Nothing, too,
  /// if bits behind the prefix are set: one of the two numbers is then a mistake.
  static std::optional<Network> parse(std::string_view text);

  bool contains(const IpOctets& address) const;
  bool operator==(const Network&) const = default;

 private:
  IpOctets first_{};
  int bits_{};  ///< of 128, also for IPv4
};

}  // namespace csrq
