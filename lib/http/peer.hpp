#pragma once

#include <compare>
#include <cstdint>
#include <vector>

#include "base/network.hpp"

namespace csrq::http {

/// Whom a connection counts for: an IPv4 address; the /64 of an IPv6 address, since its owner has all of
/// them; or, where a front end stands for many clients, nobody but itself.
struct Peer {
  IpOctets network{};
  std::uint16_t port{};  ///< 0: not a front end's

  bool is_front_end() const { return port != 0; }
  auto operator<=>(const Peer&) const = default;
};

Peer peer_of(const IpOctets& address, std::uint16_t port, const std::vector<Network>& front_ends);

}  // namespace csrq::http
