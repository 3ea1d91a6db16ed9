#include "issuance/host_name.hpp"

#include <algorithm>

#include "base/identifier.hpp"

namespace csrq::issuance {
namespace {

constexpr std::size_t longest_label = 63;
constexpr std::size_t longest_name = 253;

bool is_ascii(char c) {
  return static_cast<unsigned char>(c) < 0x80;
}

bool is_in_label(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

std::optional<NameFault> fault_of_label(std::string_view name, std::string_view label) {
  if (label.empty()) return NameFault{ErrorCode::empty_label, shown(name) + " has an empty label"};
  if (label.size() > longest_label)
    return NameFault{ErrorCode::long_label, shown(name) + " has a label of more than 63 characters"};
  if (label.find('_') != std::string_view::npos)
    return NameFault{ErrorCode::underscore, shown(name) + " has an underscore, which host names cannot have"};
  if (!std::ranges::all_of(label, is_in_label) || label.front() == '-' || label.back() == '-')
    return NameFault{ErrorCode::bad_character,
                     shown(name) + " is not a host name: labels are letters, digits and inner hyphens"};
  return std::nullopt;
}

}  // namespace

std::optional<NameFault> fault_of_name(std::string_view name) {
  if (!std::ranges::all_of(name, is_ascii))
    return NameFault{ErrorCode::not_ascii,
                     shown(name) + " is not ASCII: write internationalized names as A-labels (xn--…)"};
  if (name.empty()) return NameFault{ErrorCode::empty_label, "the CSR has an empty DNS name"};
  if (name.ends_with('.'))
    return NameFault{ErrorCode::trailing_dot, shown(name) + " ends with a dot: leave it out"};
  if (name.size() > longest_name)
    return NameFault{ErrorCode::long_name, shown(name) + "… has more than 253 characters"};
  if (canonical_ip(name))
    return NameFault{ErrorCode::ip_as_dns_name,
                     shown(name) + " is an IP address written as a DNS name: make it an IP entry"};
  const std::string_view base = without_wildcard(name);
  if (base.find('*') != std::string_view::npos ||
      (is_wildcard(name) && base.find('.') == std::string_view::npos))
    return NameFault{
        ErrorCode::bad_wildcard,
        shown(name) + ": an asterisk can only be the whole first label, before at least two others"};
  for (std::size_t start = 0; start <= base.size();) {
    const std::size_t end = std::min(base.find('.', start), base.size());
    if (auto fault = fault_of_label(name, base.substr(start, end - start))) return fault;
    start = end + 1;
  }
  return std::nullopt;
}

std::string shown(std::string_view name) {
  std::string text = "\"";
  for (const char character : name.substr(0, longest_name))
    text += character >= ' ' && character <= '~' ? character : '?';
  return text + "\"";
}

}  // namespace csrq::issuance
