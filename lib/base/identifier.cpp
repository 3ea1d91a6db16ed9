#include "base/identifier.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>

namespace csrq {
namespace {

constexpr std::string_view wildcard_prefix = "*.";

/// An IPv4 address that is mapped into IPv6 (RFC 4291 §2.5.5.2) is that IPv4 address, to CAs as well.
std::optional<std::string> address_text(int family, const void* address) {
  const auto* v6 = static_cast<const in6_addr*>(address);
  if (family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(v6))
    return address_text(AF_INET, &v6->s6_addr[sizeof(in6_addr) - sizeof(in_addr)]);
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (inet_ntop(family, address, text.data(), static_cast<socklen_t>(text.size())) == nullptr)
    return std::nullopt;
  return std::string(text.data());
}

}  // namespace

std::string_view to_string(IdentifierType type) {
  return type == IdentifierType::ip ? "ip" : "dns";
}

Identifier identifier_from(std::string_view name) {
  if (auto address = canonical_ip(name)) return {.type = IdentifierType::ip, .value = std::move(*address)};
  return {.type = IdentifierType::dns, .value = to_lower_ascii(name)};
}

std::optional<std::string> canonical_ip(std::string_view text) {
  // inet_pton stops at a NUL and would take what stands before it for the whole.
  if (text.find('\0') != std::string_view::npos) return std::nullopt;
  const std::string terminated(text);
  in_addr v4{};
  if (inet_pton(AF_INET, terminated.c_str(), &v4) == 1) return address_text(AF_INET, &v4);
  in6_addr v6{};
  if (inet_pton(AF_INET6, terminated.c_str(), &v6) == 1) return address_text(AF_INET6, &v6);
  return std::nullopt;
}

std::optional<std::string> ip_from_octets(std::string_view octets) {
  if (octets.size() == sizeof(in_addr)) return address_text(AF_INET, octets.data());
  if (octets.size() == sizeof(in6_addr)) return address_text(AF_INET6, octets.data());
  return std::nullopt;
}

std::string to_lower_ascii(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return lower;
}

bool is_wildcard(std::string_view dns_name) {
  return dns_name.starts_with(wildcard_prefix);
}

std::string_view without_wildcard(std::string_view dns_name) {
  if (is_wildcard(dns_name)) dns_name.remove_prefix(wildcard_prefix.size());
  return dns_name;
}

bool is_at_or_below(std::string_view name, std::string_view domain) {
  if (domain.empty() || !name.ends_with(domain)) return false;
  return name.size() == domain.size() || name[name.size() - domain.size() - 1] == '.';
}

}  // namespace csrq
