#include "base/encoding.hpp"

#include <array>
#include <cstddef>
#include <cstdint>

namespace csrq {
namespace {

constexpr std::string_view standard_alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view url_alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

std::uint32_t octet(char c) {
  return static_cast<unsigned char>(c);
}

std::string encode(std::string_view octets, std::string_view alphabet) {
  std::string text;
  text.reserve((octets.size() + 2) / 3 * 4);
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : octets) {
    bits = (bits << 8 | octet(c)) & 0x3fffU;
    for (count += 8; count >= 6; count -= 6) text += alphabet[bits >> (count - 6) & 0x3fU];
  }
  if (count > 0) text += alphabet[bits << (6 - count) & 0x3fU];
  return text;
}

using DecodingTable = std::array<std::int8_t, 256>;

constexpr DecodingTable decoding_table(std::string_view alphabet) {
  DecodingTable table{};
  table.fill(-1);
  for (std::size_t i = 0; i < alphabet.size(); ++i)
    table[static_cast<unsigned char>(alphabet[i])] = static_cast<std::int8_t>(i);
  return table;
}

constexpr DecodingTable standard_values = decoding_table(standard_alphabet);
constexpr DecodingTable url_values = decoding_table(url_alphabet);

/// `text` without padding. Bits left over must be zero (RFC 4648 §3.5), so that one value has one text only.
std::optional<std::string> decode(std::string_view text, const DecodingTable& values) {
  if (text.size() % 4 == 1) return std::nullopt;
  std::string octets;
  octets.reserve(text.size() / 4 * 3 + 2);
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const std::int8_t value = values[static_cast<unsigned char>(c)];
    if (value < 0) return std::nullopt;
    bits = (bits << 6 | static_cast<std::uint32_t>(value)) & 0x3fffU;
    count += 6;
    if (count < 8) continue;
    count -= 8;
    octets += static_cast<char>(bits >> count & 0xffU);
  }
  if ((bits & ((1U << count) - 1U)) != 0) return std::nullopt;
  return octets;
}

bool is_white_space(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

}  // namespace

std::string base64url(std::string_view octets) {
  return encode(octets, url_alphabet);
}

std::optional<std::string> from_base64url(std::string_view text) {
  return decode(text, url_values);
}

std::string base64(std::string_view octets) {
  std::string text = encode(octets, standard_alphabet);
  text.append((4 - text.size() % 4) % 4, '=');
  return text;
}

std::optional<std::string> from_base64(std::string_view text) {
  std::string digits;
  digits.reserve(text.size());
  for (const char c : text)
    if (!is_white_space(c)) digits += c;
  if (digits.size() % 4 != 0) return std::nullopt;
  for (int padding = 0; padding < 2 && !digits.empty() && digits.back() == '='; ++padding) digits.pop_back();
  return decode(digits, standard_values);
}

std::optional<std::string> from_any_base64(std::string_view text) {
  std::string digits;
  digits.reserve(text.size());
  for (const char c : text)
    if (!is_white_space(c)) digits += c == '+' ? '-' : c == '/' ? '_' : c;
  const std::size_t end = digits.find_last_not_of('=') + 1;  // 0 if there is nothing else
  const std::size_t padding = digits.size() - end;
  if (padding > 0 && padding != (4 - end % 4) % 4) return std::nullopt;
  digits.resize(end);
  return decode(digits, url_values);
}

std::string hex(std::string_view octets) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  text.reserve(octets.size() * 2);
  for (const char c : octets) {
    text += digits[octet(c) >> 4];
    text += digits[octet(c) & 0xfU];
  }
  return text;
}

}  // namespace csrq
