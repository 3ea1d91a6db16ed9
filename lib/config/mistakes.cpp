#include "config/mistakes.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.hpp"

namespace csrq {

void Mistakes::add(const YAML::Mark& mark, std::string sentence) {
  mistakes_.push_back({.line = mark.is_null() ? 1 : mark.line + 1, .sentence = std::move(sentence)});
}

void Mistakes::throw_if_any() {
  if (mistakes_.empty()) return;
  std::stable_sort(mistakes_.begin(), mistakes_.end(),
                   [](const auto& a, const auto& b) { return a.line < b.line; });
  std::string text;
  for (const Mistake& mistake : mistakes_)
    text += fmt::format("{}{}:{}: {}", text.empty() ? "" : "\n", file_, mistake.line, mistake.sentence);
  throw UsageError(text);
}

YAML::Node load_yaml(const std::string& text, const std::string& file) {
  Mistakes mistakes(file);
  try {
    const std::vector<YAML::Node> documents = YAML::LoadAll(text);
    if (documents.size() < 2) return documents.empty() ? YAML::Node() : documents.front();
    mistakes.add(documents[1].Mark(), "a second document begins here; a configuration is one YAML document");
  } catch (const YAML::Exception& error) {
    mistakes.add(error.mark,
                 fmt::format("this is not valid YAML: {} (column {})", error.msg, error.mark.column + 1));
  }
  mistakes.throw_if_any();
  return {};
}

}  // namespace csrq
