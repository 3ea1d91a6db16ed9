#include "store/json.hpp"

#include <nlohmann/json.hpp>

namespace csrq::store {
namespace {

constexpr int deepest_document = 16;

template <class Element>
std::vector<Element> elements(const pqxx::field& field) {
  if (field.is_null()) return {};
  return nlohmann::json::parse(field.c_str()).get<std::vector<Element>>();
}

}  // namespace

std::vector<std::string> texts(const pqxx::field& field) {
  return elements<std::string>(field);
}

std::vector<std::int64_t> numbers(const pqxx::field& field) {
  return elements<std::int64_t>(field);
}

std::string jsonb_text(const nlohmann::json& value) {
  const std::string dumped = value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  std::string clean;
  clean.reserve(dumped.size());
  for (std::size_t i = 0; i < dumped.size(); ++i) {
    if (dumped[i] != '\\') {
      clean += dumped[i];
    } else if (dumped.compare(i, 6, "\\u0000") == 0) {
      clean += "\\ufffd";
      i += 5;
    } else {
      clean += dumped[i];
      clean += dumped[++i];
    }
  }
  return clean;
}

nlohmann::json parse_document(const std::string& document) {
  if (document.empty()) return nullptr;
  const auto shallow = [](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
    return depth < deepest_document;
  };
  auto parsed = nlohmann::json::parse(document, shallow, false);
  return parsed.is_discarded() ? nlohmann::json(nullptr) : parsed;
}

}  // namespace csrq::store
