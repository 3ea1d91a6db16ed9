#include "bench/options.hpp"

#include <algorithm>
#include <charconv>
#include <iostream>
#include <sstream>
#include <utility>

#include "base/error.hpp"

namespace csrq::bench {
namespace {

std::int64_t parsed(const std::string& name, const std::string& text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || number <= 0)
    throw UsageError("--" + name + ": \"" + text + "\" is not a whole number greater than zero");
  return number;
}

}  // namespace

Options::Options(int count, char** words, std::map<std::string, std::string> defaults)
    : values_(std::move(defaults)) {
  for (int i = 1; i < count; ++i) {
    const std::string word = words[i];
    const auto option = word.starts_with("--") ? values_.find(word.substr(2)) : values_.end();
    if (option == values_.end()) throw UsageError("there is no option \"" + word + "\"");
    if (option->second.empty()) {
      option->second = "yes";
    } else {
      if (++i == count) throw UsageError(word + " needs a value");
      option->second = words[i];
    }
  }
}

std::int64_t Options::number(const std::string& name) const {
  return parsed(name, text(name));
}

std::vector<std::int64_t> Options::numbers(const std::string& name) const {
  std::vector<std::int64_t> numbers;
  for (const std::string& one : texts(name)) numbers.push_back(parsed(name, one));
  return numbers;
}

std::vector<std::string> Options::texts(const std::string& name) const {
  std::vector<std::string> texts;
  std::istringstream list(text(name));
  for (std::string one; std::getline(list, one, ',');) texts.push_back(one);
  return texts;
}

int guarded(int (*body)(const Options&), int count, char** words, std::map<std::string, std::string> defaults,
            const char* usage) {
  constexpr int failed = 1;
  constexpr int wrong_usage = 2;
  if (std::any_of(words + 1, words + count, [](const char* word) { return std::string(word) == "--help"; })) {
    std::cout << usage;
    return 0;
  }
  try {
    return body(Options(count, words, std::move(defaults)));
  } catch (const UsageError& error) {
    std::cerr << words[0] << ": " << error.what() << '\n' << usage;
    return wrong_usage;
  } catch (const std::exception& error) {
    std::cerr << words[0] << ": " << error.what() << '\n';
    return failed;
  }
}

}  // namespace csrq::bench
