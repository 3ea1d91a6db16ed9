#pragma once

#include <optional>
#include <string>

#include <nlohmann/json.hpp>

namespace csrq::app {

/// What --json prints: a document a line. Octets that are no UTF-8 are replaced.
inline std::string json_line(const nlohmann::json& document) {
  return document.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

inline nlohmann::json text_or_null(const std::string& text) {
  return text.empty() ? nlohmann::json() : nlohmann::json(text);
}

template <typename Value>
nlohmann::json value_or_null(const std::optional<Value>& value) {
  return value ? nlohmann::json(*value) : nlohmann::json();
}

}  // namespace csrq::app
