#pragma once

#include <string>
#include <vector>

namespace csrq::bench {

/// What a program cost from its start to its end, all its threads together.
struct Cost {
  int exit_code{};  ///< 128 + signal if one ended it
  double wall_seconds{};
  double cpu_seconds{};  ///< user and system
  double peak_megabytes{};
};

/// Runs a program to its end; its output goes to `log_file`. Ends with it if this thread dies.
Cost run_measured(const std::vector<std::string>& command, const std::string& log_file);

}  // namespace csrq::bench
