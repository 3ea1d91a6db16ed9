#include "embedded/spawn.hpp"

#include <fcntl.h>
#include <grp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <system_error>

#include "base/error.hpp"

namespace csrq::embedded {

namespace {

/// What the child does before it becomes the program.
enum class Step : int { input, user, directory, execute };

struct Complaint {
  Step step{};
  int error{};
};

/// Everything the child needs, made before the fork: in the child of a process with threads nothing may
/// allocate.
struct Plan {
  const char* program{};
  char* const* arguments{};
  char* const* environment{};
  const ProcessOptions* options{};
  pid_t parent{};
  int output{};
  int complaints{};  ///< write end of a pipe that closes when the program runs
};

[[noreturn]] void give_up(const Plan& plan, Step step) noexcept {
  const Complaint complaint{.step = step, .error = errno};
  [[maybe_unused]] const ssize_t written = ::write(plan.complaints, &complaint, sizeof complaint);
  ::_exit(127);
}

void reset_signals() noexcept {
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number) ::sigaction(number, &action, nullptr);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);  // NOLINT(concurrency-mt-unsafe): the child has one thread
}

/// By system call: glibc's functions would reach for locks to tell the other threads, which are not in the
/// child.
bool change_user(const User& user) noexcept {
  return ::syscall(SYS_setgroups, 1, &user.gid) == 0 && ::syscall(SYS_setgid, user.gid) == 0 &&
         ::syscall(SYS_setuid, user.uid) == 0;
}

[[noreturn]] void become_program(const Plan& plan) noexcept {
  const ProcessOptions& options = *plan.options;
  reset_signals();
  ::setpgid(0, 0);
  const int input = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (input < 0 || ::dup2(input, STDIN_FILENO) < 0 || ::dup2(plan.output, STDOUT_FILENO) < 0 ||
      ::dup2(plan.output, STDERR_FILENO) < 0)
    give_up(plan, Step::input);
  ::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
  if (options.descriptor) ::fcntl(*options.descriptor, F_SETFD, 0);
  if (options.user && !change_user(*options.user)) give_up(plan, Step::user);
  if (!options.working_directory.empty() && ::chdir(options.working_directory.c_str()) != 0)
    give_up(plan, Step::directory);
  // After the change of user, which clears it. The parent may have died before: then nobody would send it.
  ::prctl(PR_SET_PDEATHSIG, options.death_signal);
  if (::getppid() != plan.parent) ::_exit(127);
  ::execve(plan.program, plan.arguments, plan.environment);
  give_up(plan, Step::execute);
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> result;
  result.reserve(texts.size() + 1);
  for (std::string& text : texts) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

std::vector<std::string> environment_with(const std::map<std::string, std::string>& additions) {
  std::vector<std::string> result;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text(*entry);
    if (!additions.contains(text.substr(0, text.find('=')))) result.push_back(text);
  }
  for (const auto& [name, value] : additions) result.push_back(name + "=" + value);
  return result;
}

std::string describe(const ProcessOptions& options, const Complaint& complaint) {
  const std::string cause = std::generic_category().message(complaint.error);
  const std::string start = "cannot start " + options.command.front() + ": ";
  switch (complaint.step) {
    case Step::user:
      return start + "cannot become user " + options.user->name + " (" + cause + "): run as an ordinary user";
    case Step::directory:
      return start + "cannot enter " + options.working_directory + " (" + cause + ")";
    case Step::input:
    case Step::execute:
      break;
  }
  return start + cause;
}

/// Signals wait while the child still has our handlers.
pid_t fork_quietly(const Plan& plan) {
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t pid = ::fork();
  if (pid == 0) become_program(plan);
  const int error = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) throw std::system_error(error, std::generic_category(), "fork");
  return pid;
}

}  // namespace

pid_t spawn(const ProcessOptions& options, int output) {
  std::vector<std::string> command = options.command;
  const std::string program = find_program(command.at(0));
  if (program.empty()) throw UsageError("cannot start " + command[0] + ": there is no such program in PATH");
  std::vector<std::string> environment = environment_with(options.environment);
  const std::vector<char*> argument_pointers = pointers(command);
  const std::vector<char*> environment_pointers = pointers(environment);
  int pipe_ends[2];
  if (::pipe2(pipe_ends, O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
  pid_t pid = -1;
  try {
    pid = fork_quietly({.program = program.c_str(),
                        .arguments = argument_pointers.data(),
                        .environment = environment_pointers.data(),
                        .options = &options,
                        .parent = ::getpid(),
                        .output = output,
                        .complaints = pipe_ends[1]});
  } catch (...) {
    ::close(pipe_ends[0]);
    ::close(pipe_ends[1]);
    throw;
  }
  ::close(pipe_ends[1]);
  Complaint complaint;
  ssize_t got = 0;
  do got = ::read(pipe_ends[0], &complaint, sizeof complaint);
  while (got < 0 && errno == EINTR);
  ::close(pipe_ends[0]);
  if (got != static_cast<ssize_t>(sizeof complaint)) return pid;
  ::waitpid(pid, nullptr, 0);
  throw UsageError(describe(options, complaint));
}

}  // namespace csrq::embedded
