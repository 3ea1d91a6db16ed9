#include "workers/signals.hpp"

#include <csignal>
#include <cstdlib>

namespace csrq::workers {
namespace {

constexpr int end_of_watch = SIGUSR2;

sigset_t watched() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGINT, SIGTERM, SIGHUP, end_of_watch}) sigaddset(&set, number);
  return set;
}

}  // namespace

Signals::Signals(std::function<void()> on_stop, std::function<void()> on_reload)
    : on_stop_(std::move(on_stop)), on_reload_(std::move(on_reload)) {
  const sigset_t set = watched();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  thread_ = std::thread([this] { wait_for_signals(); });
}

Signals::~Signals() {
  pthread_kill(thread_.native_handle(), end_of_watch);
  thread_.join();
}

void Signals::wait_for_signals() {
  const sigset_t set = watched();
  bool stopping = false;
  for (int number = 0; sigwait(&set, &number) == 0;) {
    if (number == end_of_watch) return;
    if (number == SIGHUP) {
      if (on_reload_) on_reload_();
      continue;
    }
    if (stopping) std::_Exit(128 + number);
    stopping = true;
    if (on_stop_) on_stop_();
  }
}

}  // namespace csrq::workers
