#pragma once

#include <string>

#include <nlohmann/json.hpp>

namespace csrq::app {

/// What --json prints: a document a line. Octets that are no UTF-8 are replaced.
inline std::string json_line(const nlohmann::json& document) {
  return document.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace csrq::app
