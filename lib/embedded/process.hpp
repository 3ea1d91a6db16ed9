#pragma once

#include <sys/types.h>

#include <csignal>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/time.hpp"

/// Private services as child processes, for `csrq dev` and the tests.
namespace csrq::embedded {

struct User {
  std::string name{};
  uid_t uid{};
  gid_t gid{};
};

struct ProcessOptions {
  std::vector<std::string>
      command{};  ///< program and arguments; a name without a slash is looked for in PATH
  std::map<std::string, std::string> environment{};  ///< beside this process's own
  std::string working_directory{};                   ///< empty: this process's
  std::optional<User> user{};                        ///< to change to; only root can
  std::optional<int> descriptor{};  ///< one of ours that the child keeps, under the same number
  std::string log_file{};           ///< standard output and error are appended; empty: thrown away
  int death_signal{SIGKILL};        ///< what the child gets when its parent dies
};

/// A child process in a process group of its own, so a terminal's Ctrl-C does not reach it. It has no
/// descriptor of ours but standard input (/dev/null), output and the one that the options name. It does not
/// outlive us: when the *thread* that made it ends, however it ends, the kernel sends the child
/// `death_signal`. So make it from a thread that lives as long as the child shall: main's. Not thread-safe;
/// different threads may use different objects.
class Process {
 public:
  /// Returns once the program runs. Throws UsageError naming the program and what is wrong (missing, not
  /// permitted).
  explicit Process(const ProcessOptions& options);
  ~Process();  ///< stop()
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  bool running();
  void signal(int number);

  /// Waits for the end for at most `deadline`. The exit code (128 + signal if one ended it), or nothing if it
  /// still runs.
  std::optional<int> wait(Duration deadline);

  /// Sends `number`, and SIGKILL to the whole group if that has not ended it after `grace`. Returns when it
  /// has ended, with its exit code.
  int stop(int number = SIGTERM, Duration grace = std::chrono::seconds(10));

 private:
  friend struct Capture;
  Process(const ProcessOptions& options, int output);
  void start(const ProcessOptions& options, int output);
  void reap();

  pid_t pid_{-1};
  int handle_{-1};  // pidfd: becomes readable when the process ends
  std::optional<int> exit_code_{};
};

struct Outcome {
  int exit_code{};
  std::string output{};  ///< standard output and error, as they came
};

/// Runs a program to its end (`log_file` is not used). Throws UsageError as Process does, and Unreachable if
/// it takes longer than `deadline`; it is killed then.
Outcome run(const ProcessOptions& options, Duration deadline = std::chrono::seconds(60));

/// Absolute path of a program in PATH; empty if there is none.
std::string find_program(const std::string& name);

/// As find_program, but throws UsageError naming the Debian package to install.
std::string require_program(const std::string& name, const std::string& package);

/// The last lines of a log, for the message about a service that failed; empty if there is none.
std::string last_lines(const std::string& log_file);

}  // namespace csrq::embedded
