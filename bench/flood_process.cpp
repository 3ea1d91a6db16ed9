#include "bench/flood_process.hpp"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <new>
#include <stdexcept>
#include <thread>

namespace csrq::bench {
namespace {

constexpr std::size_t processes = 2;
constexpr std::chrono::milliseconds tells_each{5};

}  // namespace

struct FloodProcesses::Share {
  std::atomic<std::uint64_t> established{0};
};

FloodProcesses::FloodProcesses(const test::FloodOptions& options) {
  void* memory =
      ::mmap(nullptr, processes * sizeof(Share), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::runtime_error("cannot share memory with the flood");
  shares_ = new (memory) Share[processes];
  for (std::size_t number = 0; number < processes; ++number) {
    const pid_t process = ::fork();
    if (process < 0) throw std::runtime_error("cannot fork");
    if (process > 0) {
      processes_.push_back(process);
      continue;
    }
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    test::FloodOptions share = options;
    share.connections /= processes;
    for (const test::Flood flood(share);; std::this_thread::sleep_for(tells_each))
      shares_[number].established = flood.established();
  }
}

FloodProcesses::~FloodProcesses() {
  for (const pid_t process : processes_) {
    ::kill(process, SIGKILL);
    ::waitpid(process, nullptr, 0);
  }
  ::munmap(shares_, processes * sizeof(Share));
}

std::uint64_t FloodProcesses::established() const {
  std::uint64_t sum = 0;
  for (std::size_t number = 0; number < processes; ++number) sum += shares_[number].established;
  return sum;
}

}  // namespace csrq::bench
