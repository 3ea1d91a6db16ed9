#include "http/peer.hpp"

#include <algorithm>

namespace csrq::http {
namespace {

constexpr int ipv6_network_bits = 64;

}  // namespace

Peer peer_of(const IpOctets& address, std::uint16_t port, const std::vector<Network>& front_ends) {
  const bool is_front_end =
      std::ranges::any_of(front_ends, [&](const Network& network) { return network.contains(address); });
  if (is_front_end) return {.network = address, .port = port};
  return {.network = is_ipv4(address) ? address : ip_prefix(address, ipv6_network_bits), .port = 0};
}

}  // namespace csrq::http
