#pragma once

#include <string_view>

namespace csrq::http {

/// Without the optional white space around a field value (RFC 9110 §5.6.3), and without its line end.
inline std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

}  // namespace csrq::http
