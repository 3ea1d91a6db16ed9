#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>
#include <pqxx/pqxx>

/// JSON from the database and for it. For this folder only.
namespace csrq::store {

/// Of `array_to_json(column)`; empty for NULL.
std::vector<std::string> texts(const pqxx::field& field);
std::vector<std::int64_t> numbers(const pqxx::field& field);

/// JSON that jsonb takes: no U+0000, no octets that are not UTF-8.
std::string jsonb_text(const nlohmann::json& value);
/// A document from a CA as JSON; null if it is none, too deep to be honest, or empty.
nlohmann::json parse_document(const std::string& document);

}  // namespace csrq::store
