#include "base/network.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <string>

namespace csrq {
namespace {

constexpr std::array<unsigned char, 12> ipv4_mapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
constexpr int ipv4_offset = 96;
constexpr int all_bits = 128;

/// What stands behind the slash; nothing unless it is a number of bits that such an address has.
std::optional<int> prefix_length(std::string_view text, int most) {
  int bits = -1;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), bits);
  const bool is_number = error == std::errc() && rest == text.data() + text.size();
  return is_number && bits >= 0 && bits <= most ? std::optional(bits) : std::nullopt;
}

}  // namespace

std::optional<IpOctets> ip_octets(std::string_view text) {
  const std::string address(text);
  if (address.find('\0') != std::string::npos) return std::nullopt;
  IpOctets octets{};
  if (::inet_pton(AF_INET6, address.c_str(), octets.data()) == 1) return octets;
  std::copy(ipv4_mapped.begin(), ipv4_mapped.end(), octets.begin());
  if (::inet_pton(AF_INET, address.c_str(), octets.data() + ipv4_mapped.size()) == 1) return octets;
  return std::nullopt;
}

bool is_ipv4(const IpOctets& address) {
  return std::equal(ipv4_mapped.begin(), ipv4_mapped.end(), address.begin());
}

IpOctets ip_prefix(IpOctets address, int bits) {
  for (int octet = 0; octet < static_cast<int>(address.size()); ++octet) {
    const int kept = std::clamp(bits - 8 * octet, 0, 8);
    address[static_cast<std::size_t>(octet)] &= static_cast<unsigned char>(0xff00U >> kept);
  }
  return address;
}

std::optional<Network> Network::parse(std::string_view text) {
  const std::size_t slash = text.find('/');
  const std::optional<IpOctets> address = ip_octets(text.substr(0, slash));
  if (!address) return std::nullopt;
  const int offset = text.substr(0, slash).find(':') == std::string_view::npos ? ipv4_offset : 0;
  Network network;
  network.first_ = *address;
  network.bits_ = all_bits;
  if (slash != std::string_view::npos) {
    const std::optional<int> length = prefix_length(text.substr(slash + 1), all_bits - offset);
    if (!length || ip_prefix(*address, offset + *length) != *address) return std::nullopt;
    network.bits_ = offset + *length;
  }
  return network;
}

bool Network::contains(const IpOctets& address) const {
  return is_ipv4(address) == is_ipv4(first_) && ip_prefix(address, bits_) == first_;
}

}  // namespace csrq
