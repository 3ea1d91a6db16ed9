#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
#include <pthread.h>

#include <csignal>
#include <cstdlib>
#include <iostream>
#include <thread>

#include "support/pebble_gate.hpp"
#include "support/test_cluster.hpp"

namespace {

/// Ctrl-C and a test runner's SIGTERM end the run in order: what the tests started is stopped, the folder
/// removed.
void end_run_on_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals, number);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // every thread made from now on inherits it
  std::thread([signals] {
    int number = 0;
    sigwait(&signals, &number);
    csrq::test::end_run();
    std::_Exit(128 + number);
  }).detach();
}

}  // namespace

int main(int count, char** arguments) {
  end_run_on_signals();
  doctest::Context context(count, arguments);
  int result = context.run();
  csrq::test::end_run();
  if (csrq::test::PebbleGate::frozen_unnoticed()) {
    std::cerr << "Pebble froze during this run (it deadlocks now and then): failures above need not be "
                 "csrq's fault\n";
    result = EXIT_FAILURE;
  }
  return result;
}
