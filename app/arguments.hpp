#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <boost/program_options.hpp>

#include "base/time.hpp"
#include "store/ids.hpp"

namespace csrq {
struct Config;
}  // namespace csrq

namespace csrq::app {

/// The options of one subcommand; those without a name on the command line go into "arguments".
class OptionsDescription {
 public:
  explicit OptionsDescription(const std::string& caption) : options(caption) {}

  OptionsDescription& flag(const char* name, const char* description);
  OptionsDescription& text(const char* name, const char* placeholder, const char* description);

  boost::program_options::options_description options;
};

/// What was given on the command line. Throws UsageError for anything that does not fit.
class Arguments {
 public:
  Arguments(const std::vector<std::string>& words, const OptionsDescription& description);

  bool has(const std::string& name) const { return values_.count(name) > 0; }
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
  boost::program_options::variables_map values_{};
  std::vector<std::string> positional_{};
};

/// A positive number of a request. Throws UsageError.
store::RequestId parse_request_id(const std::string& text);

}  // namespace csrq::app
