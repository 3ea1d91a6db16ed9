#include "reports/csv.hpp"

#include "reports/json.hpp"

namespace csrq::reports {
namespace {

std::string separated(const auto& elements, const auto& text_of) {
  std::string text;
  for (const auto& element : elements) text += (text.empty() ? "" : " ") + text_of(element);
  return text;
}

struct Field {
  std::string operator()(std::monostate) const { return {}; }
  std::string operator()(const std::string& text) const { return text; }
  std::string operator()(const Instant& time) const { return time.rfc3339; }
  std::string operator()(const std::vector<std::string>& list) const {
    return separated(list, [](const std::string& element) { return element; });
  }
  std::string operator()(const std::vector<std::int64_t>& list) const {
    return separated(list, [](std::int64_t number) { return std::to_string(number); });
  }
  std::string operator()(const auto& value) const { return json(value).text; }
};

std::string quoted(const std::string& field) {
  if (field.find_first_of(",\"\r\n") == std::string::npos) return field;
  std::string text = "\"";
  for (const char c : field) text += c == '"' ? "\"\"" : std::string(1, c);
  return text + "\"";
}

}  // namespace

std::string csv_record(const std::vector<Value>& fields) {
  std::string record;
  for (std::size_t i = 0; i < fields.size(); ++i)
    record += (i == 0 ? "" : ",") + quoted(std::visit(Field{}, fields[i]));
  return record + "\r\n";
}

}  // namespace csrq::reports
