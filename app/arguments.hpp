#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/time.hpp"
#include "store/ids.hpp"

namespace csrq {
struct Config;
}  // namespace csrq

namespace csrq::app {

/// The options of one subcommand; those without a name on the command line go into "arguments".
class OptionsDescription {
 public:
  explicit OptionsDescription(std::string caption) : caption_(std::move(caption)) {}

  OptionsDescription& flag(const char* name, const char* description);
  OptionsDescription& text(const char* name, const char* placeholder, const char* description);

  /// For people: a line or more for each.
  std::string help() const;

 private:
  friend class Arguments;
  struct Option {
    std::string name;         ///< "help,h"
    std::string placeholder;  ///< empty: a flag
    std::string description;
  };
  std::string caption_;
  std::vector<Option> options_{};
};

/// What was given on the command line. Throws UsageError for anything that does not fit.
class Arguments {
 public:
  Arguments(const std::vector<std::string>& words, const OptionsDescription& description);

  bool has(const std::string& name) const { return values_.contains(name); }
  std::string text(const std::string& name, const std::string& otherwise = {}) const;
  std::optional<std::int64_t> number(const std::string& name) const;
  std::optional<Duration> duration(const std::string& name) const;
  /// RFC 3339, or a day: its beginning in UTC.
  std::optional<Time> time(const std::string& name) const;
  const std::vector<std::string>& positional() const { return positional_; }
  bool json() const { return has("json"); }

  void expect_no_positional() const;
  /// At least one.
  std::vector<store::RequestId> request_ids() const;

  /// Reads the configuration (--config, else the usual places) and configures the log by it.
  Config config() const;

 private:
  std::map<std::string, std::string> values_{};  ///< a flag's is empty
  std::vector<std::string> positional_{};
};

/// A positive number of a request. Throws UsageError.
store::RequestId parse_request_id(const std::string& text);

}  // namespace csrq::app
