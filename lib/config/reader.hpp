#pragma once

#include <yaml-cpp/yaml.h>

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/network.hpp"
#include "base/time.hpp"
#include "config/mistakes.hpp"

/// Reading of a YAML file that finds every mistake in one go. For this folder only.
namespace csrq {

/// One mapping of the file. Each key is asked for once, by the function of its type: a key that is not in the
/// file leaves `value` as it is, a bad one is a mistake. finish() then reports every key nobody asked for.
/// Bounds are inclusive.
class Section {
 public:
  /// `path` is "" for the whole file, else "worker" or "cas.letsencrypt". No value (null) is an empty
  /// mapping.
  Section(const YAML::Node& node, const YAML::Mark& mark, std::string path, Mistakes& mistakes);

  void text(std::string_view key, std::string& value);
  /// A relative path is taken from the folder of the file named `config_file`.
  void path(std::string_view key, std::string& value, const std::string& config_file);
  /// "address:port"; the address may be left out, one of IPv6 stands in brackets.
  void listen(std::string_view key, std::string& value);
  void texts(std::string_view key, std::vector<std::string>& value);
  void networks(std::string_view key, std::vector<Network>& value);
  void flag(std::string_view key, bool& value);
  void number(std::string_view key, int& value, int smallest, int largest);
  void duration(std::string_view key, Duration& value, Duration shortest, Duration longest);
  /// At least one.
  void durations(std::string_view key, std::vector<Duration>& value, Duration shortest, Duration longest);
  /// "1/3", "0.33" or "33%"; more than 0 and less than 1.
  void share(std::string_view key, double& value);

  template <class Choice>
  struct Named {
    std::string_view name;
    Choice choice;
  };
  template <class Choice, std::size_t count>
  void choice(std::string_view key, Choice& value, const Named<Choice> (&choices)[count]) {
    std::vector<std::string_view> names;
    for (const auto& named : choices) names.push_back(named.name);
    if (const auto index = choice_index(key, names)) value = choices[*index].choice;
  }

  /// A list of them, one at least.
  template <class Choice, std::size_t count>
  void choices(std::string_view key, std::vector<Choice>& value, const Named<Choice> (&choices)[count]) {
    std::vector<std::string_view> names;
    for (const auto& named : choices) names.push_back(named.name);
    const auto indexes = choice_indexes(key, names);
    if (!indexes) return;
    value.clear();
    for (const std::size_t index : *indexes) value.push_back(choices[index].choice);
  }

  bool has(std::string_view key) const;
  /// Empty if the key is not in the file.
  Section section(std::string_view key);
  /// The keys that are left, as the file's author named them (the mapping from names to something).
  std::vector<std::string> names() const;

  /// A mistake at `key`'s line, or at the section's if it is not in the file.
  void mistake(std::string_view key, std::string sentence);
  /// "worker.threads"
  std::string full_name(std::string_view key) const;
  void finish();

 private:
  struct Entry {
    std::string key;
    YAML::Mark mark;
    YAML::Node value;
  };
  const Entry* ask(std::string_view key);
  const Entry* find(std::string_view key) const;
  std::optional<std::string> scalar(std::string_view key);
  std::optional<std::vector<std::pair<std::string, YAML::Mark>>> list(std::string_view key);
  std::optional<std::size_t> choice_index(std::string_view key, std::span<const std::string_view> names);
  std::optional<std::vector<std::size_t>> choice_indexes(std::string_view key,
                                                         std::span<const std::string_view> names);
  void add_entry(const YAML::Node& key, const YAML::Node& value);
  std::string unknown_key(std::string_view key) const;

  YAML::Mark mark_;
  std::string path_;
  Mistakes* mistakes_;
  std::vector<Entry> entries_{};
  std::vector<std::string> known_{};
};

}  // namespace csrq
