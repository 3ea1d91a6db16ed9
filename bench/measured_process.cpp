#include "bench/measured_process.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <fstream>
#include <stdexcept>
#include <thread>

namespace csrq::bench {
namespace {

constexpr std::chrono::milliseconds look_at_memory_every{20};

[[noreturn]] void become(std::vector<char*>& words, const char* log_file) {
  constexpr int cannot_execute = 127;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const int log = ::open(log_file, O_WRONLY | O_CREAT | O_APPEND, 0644);
  ::dup2(log, STDOUT_FILENO);
  ::dup2(log, STDERR_FILENO);
  ::execv(words.front(), words.data());
  ::_exit(cannot_execute);
}

/// The kernel's high-water mark. ru_maxrss would also count what this process held when it forked.
double peak_megabytes(pid_t process) {
  std::ifstream status("/proc/" + std::to_string(process) + "/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::stod(line.substr(6)) / 1024;
  return 0;
}

double seconds_of(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

}  // namespace

Cost run_measured(const std::vector<std::string>& command, const std::string& log_file) {
  std::vector<std::string> copies = command;
  std::vector<char*> words;
  for (std::string& word : copies) words.push_back(word.data());
  words.push_back(nullptr);

  const auto start = std::chrono::steady_clock::now();
  const pid_t process = ::fork();
  if (process < 0) throw std::runtime_error("cannot fork");
  if (process == 0) become(words, log_file.c_str());

  Cost cost;
  int status = 0;
  rusage usage{};
  pid_t ended = 0;
  while ((ended = ::wait4(process, &status, WNOHANG, &usage)) == 0) {
    cost.peak_megabytes = std::max(cost.peak_megabytes, peak_megabytes(process));
    std::this_thread::sleep_for(look_at_memory_every);
  }
  if (ended < 0) throw std::runtime_error("cannot wait for " + command.front());
  cost.wall_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  cost.cpu_seconds = seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
  cost.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return cost;
}

}  // namespace csrq::bench
