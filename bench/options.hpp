#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace csrq::bench {

/// What the command line says: `--name value`, or `--name` alone where the default is "".
class Options {
 public:
  /// `defaults` names every option there is. Throws UsageError for any other, and for a missing value.
  Options(int count, char** words, std::map<std::string, std::string> defaults);

  bool has(const std::string& flag) const { return !values_.at(flag).empty(); }
  const std::string& text(const std::string& name) const { return values_.at(name); }
  /// Throws UsageError unless it is a whole number greater than zero.
  std::int64_t number(const std::string& name) const;
  /// Separated by commas.
  std::vector<std::int64_t> numbers(const std::string& name) const;
  std::vector<std::string> texts(const std::string& name) const;

 private:
  std::map<std::string, std::string> values_;
};

/// Calls `body`; a UsageError or other failure becomes a line on stderr and an exit code.
int guarded(int (*body)(const Options&), int count, char** words, std::map<std::string, std::string> defaults,
            const char* usage);

}  // namespace csrq::bench
