#pragma once

#include <compare>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace csrq {

/// RFC 8555 §9.7.7 and RFC 8738.
enum class IdentifierType { dns, ip };
std::string_view to_string(IdentifierType type);

/// What a certificate is asked for. `value` of a DNS identifier: lower-case A-labels without trailing dot, a
/// wildcard keeps its "*."; of an IP identifier: the text form of RFC 4291/5952 as inet_ntop prints it.
struct Identifier {
  IdentifierType type{IdentifierType::dns};
  std::string value{};
  auto operator<=>(const Identifier&) const = default;
};

/// Reads a name as csrq stores it (csrq.request.names): an IP address, else a DNS name, lower-cased.
Identifier identifier_from(std::string_view name);

/// inet_pton + inet_ntop; nothing if `text` is no address. An IPv4-mapped one is the IPv4 address.
std::optional<std::string> canonical_ip(std::string_view text);
/// 4 or 16 octets as such text; nothing for any other length.
std::optional<std::string> ip_from_octets(std::string_view octets);

std::string to_lower_ascii(std::string_view text);

bool is_wildcard(std::string_view dns_name);
/// "*.example.org" → "example.org"; other names unchanged.
std::string_view without_wildcard(std::string_view dns_name);
/// True for `name` itself and for every name below it ("a.example.org" below "example.org").
bool is_at_or_below(std::string_view name, std::string_view domain);

}  // namespace csrq
