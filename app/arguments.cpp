#include "app/arguments.hpp"

#include <charconv>
#include <sstream>

#include <boost/program_options.hpp>

#include "base/error.hpp"
#include "base/log.hpp"
#include "config/config.hpp"

namespace csrq::app {
namespace {

namespace po = boost::program_options;

std::optional<std::int64_t> parse_positive(const std::string& text) {
  std::int64_t value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value <= 0) return std::nullopt;
  return value;
}

template <class Options>
po::options_description described(const std::string& caption, const Options& options) {
  po::options_description all(caption);
  for (const auto& option : options)
    all.add_options()(option.name.c_str(),
                      option.placeholder.empty()
                          ? static_cast<po::value_semantic*>(new po::untyped_value(true))
                          : po::value<std::string>()->value_name(option.placeholder),
                      option.description.c_str());
  return all;
}

}  // namespace

OptionsDescription& OptionsDescription::flag(const char* name, const char* description) {
  options_.push_back({name, {}, description});
  return *this;
}

OptionsDescription& OptionsDescription::text(const char* name, const char* placeholder,
                                             const char* description) {
  options_.push_back({name, placeholder, description});
  return *this;
}

std::string OptionsDescription::help() const {
  std::ostringstream help;
  help << described(caption_, options_);
  return help.str();
}

Arguments::Arguments(const std::vector<std::string>& words, const OptionsDescription& description) {
  po::options_description all = described({}, description.options_);
  all.add_options()("arguments", po::value<std::vector<std::string>>());
  po::positional_options_description rest;
  rest.add("arguments", -1);
  namespace style = po::command_line_style;
  constexpr int without_guessing = style::unix_style & ~style::allow_guessing;
  po::variables_map given;
  try {
    po::store(po::command_line_parser(words).options(all).positional(rest).style(without_guessing).run(),
              given);
  } catch (const po::error& error) {
    throw UsageError(error.what());
  }
  for (const auto& [name, value] : given) {
    if (name == "arguments")
      positional_ = value.as<std::vector<std::string>>();
    else
      values_[name] = value.empty() ? "" : value.as<std::string>();
  }
}

std::string Arguments::text(const std::string& name, const std::string& otherwise) const {
  const auto found = values_.find(name);
  return found == values_.end() ? otherwise : found->second;
}

std::optional<std::int64_t> Arguments::number(const std::string& name) const {
  if (!has(name)) return std::nullopt;
  if (const auto value = parse_positive(text(name))) return value;
  throw UsageError("--" + name + " wants a positive number, not \"" + text(name) + "\"");
}

std::optional<Duration> Arguments::duration(const std::string& name) const {
  if (!has(name)) return std::nullopt;
  if (const auto value = parse_duration(text(name))) return value;
  throw UsageError("--" + name + " wants a duration such as 90s, 10m or 1d, not \"" + text(name) + "\"");
}

std::optional<Time> Arguments::time(const std::string& name) const {
  if (!has(name)) return std::nullopt;
  if (const auto value = parse_rfc3339(text(name))) return value;
  if (const auto value = parse_rfc3339(text(name) + "T00:00:00Z")) return value;
  throw UsageError("--" + name + " wants a time such as 2026-11-25 or 2026-11-25T10:00:00Z, not \"" +
                   text(name) + "\"");
}

void Arguments::expect_no_positional() const {
  if (!positional_.empty()) throw UsageError("unexpected argument \"" + positional_.front() + "\"");
}

std::vector<store::RequestId> Arguments::request_ids() const {
  if (positional_.empty()) throw UsageError("name the ID of at least one request (`csrq status` lists them)");
  std::vector<store::RequestId> ids;
  ids.reserve(positional_.size());
  for (const std::string& word : positional_) ids.push_back(parse_request_id(word));
  return ids;
}

Config Arguments::config() const {
  Config config = load_config(find_config(text("config")));
  log::configure(config.log.level, config.log.format);
  return config;
}

store::RequestId parse_request_id(const std::string& text) {
  if (const auto value = parse_positive(text)) return store::RequestId{*value};
  throw UsageError("\"" + text + "\" is not the ID of a request: IDs are positive numbers");
}

}  // namespace csrq::app
