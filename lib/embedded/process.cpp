#include "embedded/process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>

#include "base/error.hpp"
#include "embedded/spawn.hpp"

namespace csrq::embedded {

namespace {

using Clock = std::chrono::steady_clock;

/// A descriptor that is closed at the end of its scope.
class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() { close(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int number() const { return number_; }
  void close() {
    if (number_ >= 0) ::close(number_);
    number_ = -1;
  }

 private:
  int number_;
};

/// Whether `descriptor` becomes readable (or its other end closes) before `until`.
bool readable(int descriptor, Clock::time_point until) {
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count();
    pollfd entry{.fd = descriptor, .events = POLLIN, .revents = 0};
    const int found = ::poll(&entry, 1, static_cast<int>(std::clamp<std::int64_t>(left, 0, 3'600'000)));
    if (found > 0) return true;
    if (found < 0 && errno != EINTR) throw std::system_error(errno, std::generic_category(), "poll");
    if (Clock::now() >= until) return false;
  }
}

int open_log(const std::string& path) {
  const char* file = path.empty() ? "/dev/null" : path.c_str();
  const int descriptor = ::open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (descriptor < 0)
    throw UsageError("cannot write the log " + path + ": " + std::generic_category().message(errno));
  return descriptor;
}

bool executable_file(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::is_regular_file(path, ignored) && ::access(path.c_str(), X_OK) == 0;
}

}  // namespace

Process::Process(const ProcessOptions& options) {
  const Descriptor log(open_log(options.log_file));
  start(options, log.number());
}

Process::Process(const ProcessOptions& options, int output) {
  start(options, output);
}

Process::~Process() {
  if (running()) stop();
}

void Process::start(const ProcessOptions& options, int output) {
  pid_ = spawn(options, output);
  handle_ = static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0));
  if (handle_ >= 0) return;
  const int error = errno;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  throw std::system_error(error, std::generic_category(), "pidfd_open (Linux 5.4 or newer is needed)");
}

bool Process::running() {
  return !wait(Duration::zero()).has_value();
}

void Process::signal(int number) {
  if (running()) ::kill(pid_, number);
}

std::optional<int> Process::wait(Duration deadline) {
  if (!exit_code_ && readable(handle_, Clock::now() + deadline)) reap();
  return exit_code_;
}

int Process::stop(int number, Duration grace) {
  signal(number);
  if (!wait(grace)) ::kill(-pid_, SIGKILL);
  while (!wait(std::chrono::hours(1))) continue;
  return *exit_code_;
}

void Process::reap() {
  // What it left behind in its group goes with it; until waitpid below, nobody else can have that group's
  // number.
  ::kill(-pid_, SIGKILL);
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) continue;
  exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  ::close(handle_);
  handle_ = -1;
}

/// A program's run with its output read through a pipe.
struct Capture {
  static Outcome run(const ProcessOptions& options, Duration deadline) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
    const Descriptor read_end(ends[0]);
    Descriptor write_end(ends[1]);
    const auto until = Clock::now() + deadline;
    Process process(options, write_end.number());
    write_end.close();
    Outcome outcome;
    char buffer[4096];
    while (readable(read_end.number(), until)) {
      const ssize_t got = ::read(read_end.number(), buffer, sizeof buffer);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) break;
      outcome.output.append(buffer, static_cast<std::size_t>(got));
    }
    const auto left = std::chrono::ceil<Duration>(until - Clock::now());
    const std::optional<int> code = process.wait(left);
    if (code) return {.exit_code = *code, .output = outcome.output};
    process.stop(SIGKILL);
    throw Unreachable(options.command.front() + " did not end within " + to_text(deadline));
  }
};

Outcome run(const ProcessOptions& options, Duration deadline) {
  return Capture::run(options, deadline);
}

std::string find_program(const std::string& name) {
  if (name.find('/') != std::string::npos) return executable_file(name) ? name : "";
  const char* path = std::getenv("PATH");  // NOLINT(concurrency-mt-unsafe): nothing sets the environment
  std::istringstream folders(path == nullptr ? "/usr/local/bin:/usr/bin:/bin" : path);
  for (std::string folder; std::getline(folders, folder, ':');)
    if (!folder.empty() && executable_file(folder + "/" + name)) return folder + "/" + name;
  return {};
}

std::string require_program(const std::string& name, const std::string& package) {
  const std::string found = find_program(name);
  if (found.empty()) throw UsageError("the program " + name + " is missing: apt install " + package);
  return found;
}

std::string last_lines(const std::string& log_file) {
  constexpr std::streamoff wanted = 1500;
  std::ifstream log(log_file, std::ios::binary | std::ios::ate);
  if (!log) return {};
  const std::streamoff size = log.tellg();
  log.seekg(std::max<std::streamoff>(0, size - wanted));
  std::ostringstream text;
  text << log.rdbuf();
  std::string result = text.str();
  if (size > wanted) result.erase(0, result.find('\n') + 1);
  while (result.ends_with('\n')) result.pop_back();
  return result;
}

}  // namespace csrq::embedded
