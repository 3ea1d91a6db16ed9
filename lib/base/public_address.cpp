#include "base/public_address.hpp"

#include <algorithm>
#include <initializer_list>
#include <vector>

namespace csrq {
namespace {

constexpr std::size_t octets_of_ipv4 = 4;

IpOctets mapped(std::string_view ipv4) {
  IpOctets address{};
  const auto start = address.end() - octets_of_ipv4;
  std::fill(start - 2, start, static_cast<unsigned char>(0xff));
  std::ranges::copy(ipv4, start);
  return address;
}

std::vector<Network> networks(std::initializer_list<std::string_view> texts) {
  std::vector<Network> parsed;
  for (const std::string_view text : texts) parsed.push_back(Network::parse(text).value());
  return parsed;
}

bool is_in(const std::vector<Network>& networks, const IpOctets& address) {
  return std::ranges::any_of(networks, [&](const Network& network) { return network.contains(address); });
}

const std::vector<Network>& special_ipv4() {
  static const std::vector<Network> all = networks({
      "0.0.0.0/8",        // this host (RFC 791)
      "10.0.0.0/8",       // private (RFC 1918)
      "100.64.0.0/10",    // carrier-grade NAT (RFC 6598)
      "127.0.0.0/8",      // loopback
      "169.254.0.0/16",   // link-local (RFC 3927), where clouds keep their metadata
      "172.16.0.0/12",    // private
      "192.0.0.0/24",     // protocol assignments (RFC 6890)
      "192.0.2.0/24",     // documentation (RFC 5737)
      "192.88.99.0/24",   // 6to4 relays, once (RFC 7526)
      "192.168.0.0/16",   // private
      "198.18.0.0/15",    // benchmarks (RFC 2544)
      "198.51.100.0/24",  // documentation
      "203.0.113.0/24",   // documentation
      "224.0.0.0/4",      // multicast
      "240.0.0.0/4",      // reserved, and broadcast
  });
  return all;
}

/// Within 2000::/3.
const std::vector<Network>& special_ipv6() {
  static const std::vector<Network> all = networks({
      "2001::/23",      // protocol assignments, among them Teredo and ORCHID
      "2001:db8::/32",  // documentation (RFC 3849)
      "2002::/16",      // 6to4: a tunnel to any IPv4 address (RFC 3056)
      "3fff::/20",      // documentation (RFC 9637)
  });
  return all;
}

}  // namespace

std::optional<IpOctets> ip_octets_of(std::string_view octets) {
  if (octets.size() == octets_of_ipv4) return mapped(octets);
  IpOctets address{};
  if (octets.size() != address.size()) return std::nullopt;
  std::ranges::copy(octets, address.begin());
  return address;
}

IpOctets untranslated(const IpOctets& address) {
  static const Network translated = Network::parse("64:ff9b::/96").value();
  if (!translated.contains(address)) return address;
  IpOctets ipv4 = mapped("\0\0\0");
  std::copy(address.end() - octets_of_ipv4, address.end(), ipv4.end() - octets_of_ipv4);
  return ipv4;
}

bool is_public(const IpOctets& address) {
  static const Network global_unicast = Network::parse("2000::/3").value();
  const IpOctets meant = untranslated(address);
  if (is_ipv4(meant)) return !is_in(special_ipv4(), meant);
  return global_unicast.contains(meant) && !is_in(special_ipv6(), meant);
}

}  // namespace csrq
