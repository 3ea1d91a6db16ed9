#include "base/printable.hpp"

namespace csrq {
namespace {

/// Of the characters beyond ASCII.
bool is_control(unsigned code) {
  return code < 0xa0 || code == 0x061c || code == 0x200e || code == 0x200f ||
         (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

bool continues_a_character(char octet) {
  return (static_cast<unsigned char>(octet) & 0xc0U) == 0x80U;
}

}  // namespace

std::size_t printable_length(std::string_view text) {
  const auto octet = [text](std::size_t i) -> unsigned { return static_cast<unsigned char>(text[i]); };
  const unsigned first = octet(0);
  if (first < 0x80) return first >= 0x20 && first != 0x7f ? 1 : 0;
  const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < length) return 0;
  unsigned code = first & (0x7fU >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if ((octet(i) & 0xc0U) != 0x80U) return 0;
    code = code << 6 | (octet(i) & 0x3fU);
  }
  const unsigned smallest = length == 4 ? 0x10000U : length == 3 ? 0x800U : 0x80U;
  const bool surrogate = code >= 0xd800 && code <= 0xdfff;
  return code < smallest || code > 0x10ffff || surrogate || is_control(code) ? 0 : length;
}

std::string printable(std::string_view text) {
  std::string shown;
  while (!text.empty()) {
    std::size_t length = printable_length(text);
    if (length > 0) {
      shown += text.substr(0, length);
    } else {
      shown += '?';
      length = 1;
      while (length < text.size() && continues_a_character(text[length])) ++length;
    }
    text.remove_prefix(length);
  }
  return shown;
}

}  // namespace csrq
