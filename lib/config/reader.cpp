#include "config/reader.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <filesystem>

#include "base/identifier.hpp"
#include "config/nearest.hpp"

namespace csrq {
namespace {

using Choices = std::span<const std::string_view>;

std::optional<std::size_t> index_of(std::string_view text, Choices names) {
  const auto found = std::find(names.begin(), names.end(), text);
  if (found == names.end()) return std::nullopt;
  return static_cast<std::size_t>(found - names.begin());
}

/// For the message that `text` is none of them.
std::string one_of(Choices names, std::string_view text) {
  const std::string_view meant = nearest(text, names);
  return fmt::format("one of {}{}", fmt::join(names, ", "),
                     meant.empty() ? "" : fmt::format("; did you mean `{}`?", meant));
}

template <class Number>
std::optional<Number> parse_number(std::string_view text) {
  Number number{};
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || stop != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<double> parse_share(std::string_view text) {
  if (text.ends_with('%')) {
    const auto percentage = parse_number<double>(text.substr(0, text.size() - 1));
    return percentage ? std::optional(*percentage / 100) : std::nullopt;
  }
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return parse_number<double>(text);
  const auto numerator = parse_number<double>(text.substr(0, slash));
  const auto denominator = parse_number<double>(text.substr(slash + 1));
  if (!numerator || !denominator) return std::nullopt;
  return *numerator / *denominator;
}

bool is_listen_address(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return false;
  std::string_view host = text.substr(0, colon);
  const bool bracketed = host.starts_with('[') && host.ends_with(']');
  if (bracketed) host = host.substr(1, host.size() - 2);
  const bool is_v6 = host.find(':') != std::string_view::npos;
  if (bracketed != is_v6 || (!host.empty() && !canonical_ip(host))) return false;
  const auto port = parse_number<unsigned>(text.substr(colon + 1));
  return port && *port >= 1 && *port <= 65535;
}

}  // namespace

Section::Section(const YAML::Node& node, const YAML::Mark& mark, std::string path, Mistakes& mistakes)
    : mark_(mark), path_(std::move(path)), mistakes_(&mistakes) {
  if (node.IsMap()) {
    for (const auto& entry : node) add_entry(entry.first, entry.second);
  } else if (node.IsDefined() && !node.IsNull()) {
    mistakes_->add(mark_, fmt::format("{} must be a mapping from keys to values",
                                      path_.empty() ? "the file" : "`" + path_ + "`"));
  }
}

void Section::add_entry(const YAML::Node& key, const YAML::Node& value) {
  if (!key.IsScalar()) return mistakes_->add(key.Mark(), "a key must be plain text");
  if (const Entry* earlier = find(key.Scalar()))
    return mistakes_->add(key.Mark(), fmt::format("`{}` stands here a second time (first in line {})",
                                                  full_name(key.Scalar()), earlier->mark.line + 1));
  entries_.push_back({.key = key.Scalar(), .mark = key.Mark(), .value = value});
}

const Section::Entry* Section::find(std::string_view key) const {
  const auto found =
      std::find_if(entries_.begin(), entries_.end(), [key](const Entry& entry) { return entry.key == key; });
  return found == entries_.end() ? nullptr : &*found;
}

const Section::Entry* Section::ask(std::string_view key) {
  known_.emplace_back(key);
  return find(key);
}

std::string Section::full_name(std::string_view key) const {
  return path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
}

void Section::mistake(std::string_view key, std::string sentence) {
  const Entry* entry = find(key);
  mistakes_->add(entry == nullptr ? mark_ : entry->mark, std::move(sentence));
}

std::optional<std::string> Section::scalar(std::string_view key) {
  const Entry* entry = ask(key);
  if (entry == nullptr) return std::nullopt;
  if (entry->value.IsScalar()) return entry->value.Scalar();
  mistake(key, fmt::format("`{}` {}", full_name(key),
                           entry->value.IsNull() ? "has no value; leave the key out for the default"
                                                 : "must be a single value, not a list or a mapping"));
  return std::nullopt;
}

std::optional<std::vector<std::pair<std::string, YAML::Mark>>> Section::list(std::string_view key) {
  const Entry* entry = ask(key);
  if (entry == nullptr) return std::nullopt;
  if (!entry->value.IsSequence()) {
    mistake(key, fmt::format("`{}` must be a list, as in [first, second]", full_name(key)));
    return std::nullopt;
  }
  std::vector<std::pair<std::string, YAML::Mark>> items;
  for (const auto& item : entry->value) {
    if (item.IsScalar()) {
      items.emplace_back(item.Scalar(), item.Mark());
    } else {
      mistakes_->add(item.Mark(), fmt::format("each item of `{}` must be a single value", full_name(key)));
    }
  }
  return items;
}

void Section::text(std::string_view key, std::string& value) {
  if (auto found = scalar(key)) value = std::move(*found);
}

void Section::path(std::string_view key, std::string& value, const std::string& config_file) {
  const auto found = scalar(key);
  if (!found) return;
  value = found->empty() ? "" : (std::filesystem::path(config_file).parent_path() / *found).string();
}

void Section::listen(std::string_view key, std::string& value) {
  auto found = scalar(key);
  if (!found) return;
  if (found->empty() || is_listen_address(*found)) {
    value = std::move(*found);
  } else {
    mistake(key, fmt::format(
                     "`{}` is `{}`; it must be an IP address and a port, as in 127.0.0.1:80, \"[::]:80\" or "
                     "\":80\" (all addresses)",
                     full_name(key), *found));
  }
}

void Section::texts(std::string_view key, std::vector<std::string>& value) {
  const auto items = list(key);
  if (!items) return;
  value.clear();
  for (const auto& [item, mark] : *items) value.push_back(item);
}

void Section::networks(std::string_view key, std::vector<Network>& value) {
  const auto items = list(key);
  if (!items) return;
  value.clear();
  for (const auto& [item, mark] : *items) {
    if (const std::optional<Network> network = Network::parse(item))
      value.push_back(*network);
    else
      mistakes_->add(mark, fmt::format("`{}` has `{}`; write an address, or a network as in 192.0.2.0/24",
                                       full_name(key), item));
  }
}

void Section::flag(std::string_view key, bool& value) {
  static constexpr Named<bool> choices[] = {{"true", true}, {"false", false}, {"on", true},
                                            {"off", false}, {"yes", true},    {"no", false}};
  choice(key, value, choices);
}

void Section::number(std::string_view key, int& value, int smallest, int largest) {
  const auto found = scalar(key);
  if (!found) return;
  const auto number = parse_number<int>(*found);
  if (number && *number >= smallest && *number <= largest) {
    value = *number;
  } else {
    mistake(key, fmt::format("`{}` is `{}`; it must be a whole number from {} to {}", full_name(key), *found,
                             smallest, largest));
  }
}

void Section::duration(std::string_view key, Duration& value, Duration shortest, Duration longest) {
  const auto found = scalar(key);
  if (!found) return;
  const auto duration = parse_duration(*found);
  if (duration && *duration >= shortest && *duration <= longest) {
    value = *duration;
  } else {
    mistake(key, fmt::format("`{}` is `{}`; it must be a duration from {} to {}, such as 90s, 10m, 12h or 1d",
                             full_name(key), *found, to_text(shortest), to_text(longest)));
  }
}

void Section::durations(std::string_view key, std::vector<Duration>& value, Duration shortest,
                        Duration longest) {
  const auto items = list(key);
  if (!items) return;
  if (find(key)->value.size() == 0)
    return mistake(key, fmt::format("`{}` must have at least one duration", full_name(key)));
  std::vector<Duration> found;
  for (const auto& [item, mark] : *items) {
    const auto duration = parse_duration(item);
    if (duration && *duration >= shortest && *duration <= longest) {
      found.push_back(*duration);
    } else {
      mistakes_->add(
          mark, fmt::format("`{}` has `{}`; each item must be a duration from {} to {}, such as 90s or 10m",
                            full_name(key), item, to_text(shortest), to_text(longest)));
    }
  }
  value = std::move(found);
}

void Section::share(std::string_view key, double& value) {
  const auto found = scalar(key);
  if (!found) return;
  const auto share = parse_share(*found);
  if (share && *share > 0 && *share < 1) {
    value = *share;
  } else {
    mistake(key, fmt::format("`{}` is `{}`; it must be more than 0 and less than 1, such as 1/3, 0.33 or 33%",
                             full_name(key), *found));
  }
}

std::optional<std::size_t> Section::choice_index(std::string_view key,
                                                 std::span<const std::string_view> names) {
  const auto found = scalar(key);
  if (!found) return std::nullopt;
  const auto index = index_of(*found, names);
  if (!index)
    mistake(key, fmt::format("`{}` is `{}`; it must be {}", full_name(key), *found, one_of(names, *found)));
  return index;
}

std::optional<std::vector<std::size_t>> Section::choice_indexes(std::string_view key,
                                                                std::span<const std::string_view> names) {
  const auto items = list(key);
  if (!items) return std::nullopt;
  if (find(key)->value.size() == 0) {
    mistake(key, fmt::format("`{}` must have at least one of {}", full_name(key), fmt::join(names, ", ")));
    return std::nullopt;
  }
  std::vector<std::size_t> indexes;
  for (const auto& [item, mark] : *items) {
    if (const auto index = index_of(item, names)) {
      indexes.push_back(*index);
    } else {
      mistakes_->add(mark, fmt::format("`{}` has `{}`; each item must be {}", full_name(key), item,
                                       one_of(names, item)));
    }
  }
  return indexes;
}

bool Section::has(std::string_view key) const {
  return find(key) != nullptr;
}

Section Section::section(std::string_view key) {
  const Entry* entry = ask(key);
  return {entry == nullptr ? YAML::Node() : entry->value, entry == nullptr ? mark_ : entry->mark,
          full_name(key), *mistakes_};
}

std::vector<std::string> Section::names() const {
  std::vector<std::string> names;
  names.reserve(entries_.size());
  for (const Entry& entry : entries_) names.push_back(entry.key);
  return names;
}

std::string Section::unknown_key(std::string_view key) const {
  if (known_.empty()) return fmt::format("unknown key `{}`; `{}` has no keys", key, path_);
  const std::string_view meant = nearest(key, std::vector<std::string_view>(known_.begin(), known_.end()));
  if (!meant.empty()) return fmt::format("unknown key `{}`; did you mean `{}`?", key, meant);
  return fmt::format("unknown key `{}`; known here: {}", key, fmt::join(known_, ", "));
}

void Section::finish() {
  for (const Entry& entry : entries_)
    if (std::find(known_.begin(), known_.end(), entry.key) == known_.end())
      mistakes_->add(entry.mark, unknown_key(entry.key));
}

}  // namespace csrq
