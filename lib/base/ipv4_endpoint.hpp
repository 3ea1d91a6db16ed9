#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace csrq {

struct Ipv4Endpoint {
  std::string address{};
  std::uint16_t port{};
};
/// "192.0.2.1:53"; nothing if it is anything else.
std::optional<Ipv4Endpoint> ipv4_endpoint(std::string_view text);

}  // namespace csrq
