#include "base/ipv4_endpoint.hpp"

#include <charconv>

#include "base/identifier.hpp"

namespace csrq {

std::optional<Ipv4Endpoint> ipv4_endpoint(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos || !canonical_ip(text.substr(0, colon))) return std::nullopt;
  Ipv4Endpoint endpoint{.address = std::string(text.substr(0, colon))};
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data() + colon + 1, end, endpoint.port);
  if (error != std::errc() || rest != end || endpoint.port == 0) return std::nullopt;
  return endpoint;
}

}  // namespace csrq
