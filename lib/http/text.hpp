#pragma once

#include <string>
#include <string_view>

/// What header fields need: ASCII only, whatever the locale.
namespace csrq::http {

inline std::string lower_case(std::string_view text) {
  std::string lower(text);
  for (char& character : lower)
    if (character >= 'A' && character <= 'Z') character = static_cast<char>(character - 'A' + 'a');
  return lower;
}

/// Without the optional white space around a field value (RFC 9110 §5.6.3), and without its line end.
inline std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

}  // namespace csrq::http
