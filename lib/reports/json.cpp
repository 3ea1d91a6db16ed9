#include "reports/json.hpp"

#include <nlohmann/json.hpp>

namespace csrq::reports {
namespace {

using Document = nlohmann::ordered_json;

std::string dumped(const Document& document) {
  return document.dump(-1, ' ', false, Document::error_handler_t::replace);
}

struct Writer {
  std::string operator()(std::monostate) const { return "null"; }
  std::string operator()(const Instant& time) const { return dumped(time.rfc3339); }
  std::string operator()(const Json& json) const { return json.text; }
  std::string operator()(const Problem& problem) const { return problem.json; }
  std::string operator()(const auto& value) const { return dumped(value); }
};

Document parsed(const std::string& text) {
  return Document::parse(text, nullptr, false);
}

std::string sentence_in(const Document& problem) {
  if (!problem.is_object()) return {};
  const auto member = [&](const char* name) {
    const auto found = problem.find(name);
    return found != problem.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  return member("code") + ": " + member("detail");
}

}  // namespace

Json json(const Value& value) {
  return Json(std::visit(Writer{}, value));
}

Json array_of(const std::vector<Json>& elements) {
  std::string text;
  for (const Json& element : elements) text += (text.empty() ? "" : ",") + element.text;
  return Json("[" + text + "]");
}

JsonObject::JsonObject(std::initializer_list<Member> members) {
  for (const Member& member : members) add(member.name, member.value);
}

JsonObject& JsonObject::add(std::string_view name, const Value& value) {
  members_ += (members_.empty() ? "" : ",") + dumped(name) + ":" + reports::json(value).text;
  return *this;
}

Json JsonObject::json() const {
  return Json("{" + members_ + "}");
}

std::string sentence_of(const Problem& problem) {
  return sentence_in(parsed(problem.json));
}

std::string gist_of(const Json& detail) {
  const Document document = parsed(detail.text);
  if (!document.is_object()) return {};
  if (const auto error = document.find("error"); error != document.end() && error->is_object())
    return sentence_in(*error);
  std::string gist;
  for (const auto& [name, value] : document.items())
    gist += (gist.empty() ? "" : "  ") + name + "=" +
            (value.is_string() ? value.get<std::string>() : dumped(value));
  return gist;
}

}  // namespace csrq::reports
