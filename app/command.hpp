#pragma once

#include <array>

#include "app/arguments.hpp"
#include "base/error.hpp"

namespace csrq::app {

/// A subcommand: `csrq NAME …`.
struct Command {
  const char* name;
  const char* synopsis;  ///< what follows the name: "FILE… --customer NAME"
  const char* summary;   ///< one line for `csrq --help`
  const char* help;  ///< what `csrq NAME --help` says between usage and options: begins with an empty line
  void (*describe)(OptionsDescription& options);
  Exit (*run)(const Arguments& arguments);
  bool is_plugin{false};  ///< answers a monitoring system: what goes wrong is its UNKNOWN, on standard output
};

/// One line as a monitoring system takes it: printable, without the '|' that begins performance data.
std::string plugin_text(std::string text);

extern const Command authz_command;
extern const Command cancel_command;
extern const Command chain_command;
extern const Command check_command;
extern const Command dev_command;
extern const Command doctor_command;
extern const Command keygen_command;
extern const Command limits_command;
extern const Command migrate_command;
extern const Command notify_command;
extern const Command prune_command;
extern const Command renew_command;
extern const Command renewals_command;
extern const Command respond_command;
extern const Command retry_command;
extern const Command revoke_command;
extern const Command run_command;
extern const Command status_command;
extern const Command submit_command;
extern const Command work_command;

}  // namespace csrq::app
