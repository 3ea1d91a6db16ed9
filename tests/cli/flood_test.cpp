#include "support/flood.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <sstream>

#include "base/descriptors.hpp"
#include "cli/cli_fixture.hpp"
#include "embedded/ports.hpp"
#include "support/acme_stub.hpp"

using namespace csrq;
using namespace csrq::test;
using namespace std::chrono_literals;

namespace {

/// `csrq respond`, started with these limits of open files.
struct RunningResponder {
  explicit RunningResponder(const std::string& limits = "ulimit -Sn 1024")
      : process({.command = {"sh", "-c", limits + "; exec \"$@\"", "sh", csrq_binary(), "respond", "--listen",
                             "127.0.0.1:" + std::to_string(port), "--config", installation.config},
                 .log_file = log}) {
    wait_until("the responder answers", [&] { return embedded::accepts_connections(port); });
  }

  double peak_megabytes() const {
    std::istringstream status(read_file("/proc/" + std::to_string(process.pid()) + "/status"));
    for (std::string line; std::getline(status, line);)
      if (line.starts_with("VmHWM:")) return std::stod(line.substr(6)) / 1024;
    return 0;
  }

  Installation installation{};
  int port{embedded::free_port()};
  std::filesystem::path log{installation.folder / "respond.log"};
  embedded::Process process;
};

/// The slowest of twenty answers; nothing if one did not come.
std::optional<Duration> slowest_answer(int port) {
  Duration slowest{};
  for (int request = 0; request < 20; ++request) {
    const std::optional<Duration> taken = probe(port);
    if (!taken) return std::nullopt;
    slowest = std::max(slowest, *taken);
  }
  return slowest;
}

void check_answers(int port) {
  const std::optional<Duration> slowest = slowest_answer(port);
  REQUIRE(slowest);
  CHECK_MESSAGE(*slowest < 1s, to_text(*slowest));
}

/// The last ones may be long in coming: a slow machine drops what does not fit into the kernel's queue, and
/// they try again less and less often.
void wait_for_most(const Flood& flood, const FloodOptions& options) {
  wait_until("nine tenths have come", [&] { return flood.established() >= options.connections / 10 * 9; });
}

// AddressSanitizer pads what is allocated, and keeps what was freed.
constexpr int most_megabytes =
#ifdef __has_feature
#if __has_feature(address_sanitizer)
    4 *
#endif
#endif
    128;

/// As far as the limit of open files allows, of this process and of the responder.
std::size_t possible(std::size_t connections) {
  raise_descriptor_limit();
  REQUIRE_MESSAGE(descriptor_limit() > 10'500, "the hard limit of open files (ulimit -Hn) is too low");
  return std::min(connections, descriptor_limit() - 500);
}

}  // namespace

TEST_CASE("respond: a CA is answered within a second, whatever 10,000 connections of one address do") {
  const RunningResponder responder;
  const FloodOptions options{.port = responder.port,
                             .connections = possible(10'000),
                             .opened_per_second = 1000,
                             .opened_again = 10s};
  const Flood flood(options);
  wait_for_most(flood, options);
  check_answers(responder.port);
  CHECK(responder.peak_megabytes() < most_megabytes);
}

TEST_CASE("respond: a CA is answered within a second, whatever 20,000 connections of 200 addresses do") {
  const RunningResponder responder;
  const FloodOptions options{.port = responder.port,
                             .connections = possible(20'000),
                             .addresses = 200,
                             .opened_per_second = 1000,
                             .opened_again = 60s};
  const Flood flood(options);
  wait_for_most(flood, options);
  // They may still stand in the kernel's queue, where a slow machine takes them from slowly.
  CHECK(probe(responder.port));
  check_answers(responder.port);
  CHECK(responder.peak_megabytes() < most_megabytes);
}

TEST_CASE(
    "respond: the limit of open files is raised to what it may be, and said to be too low where it is") {
  SUBCASE("the soft limit is raised") {
    const RunningResponder responder("ulimit -Sn 64");
    const Flood flood(
        {.port = responder.port, .kinds = {FloodKind::idle}, .connections = 200, .addresses = 200});
    wait_until("more connections than the soft limit are open", [&] { return flood.open() == 200; });
    check_answers(responder.port);
    CHECK(flood.open() == 200);
  }
  SUBCASE("the hard limit is low: half of it is for connections, and a CA is answered all the same") {
    const RunningResponder responder("ulimit -n 200");
    CHECK(says(read_file(responder.log), "the limit of open files is low"));
    CHECK(says(read_file(responder.log), "LimitNOFILE=16384"));
    const Flood flood({.port = responder.port,
                       .kinds = {FloodKind::idle},
                       .connections = 200,
                       .addresses = 200,
                       .opened_again = 2s});
    wait_until("more have come than there is room for", [&] { return flood.established() > 200; });
    check_answers(responder.port);
    CHECK(flood.open() <= 101);
  }
}

TEST_CASE("work: a flood of the responder's port takes neither descriptors nor answers from issuing") {
  const int port = embedded::free_port();
  AcmeStub ca;
  ca.change([&](StubBehaviour& behaviour) {
    behaviour.always_valid = false;
    behaviour.http_port = port;
  });
  const Installation installation(ca.directory_url(), "challenges: { http-01: { listen: \"127.0.0.1:" +
                                                          std::to_string(port) + "\" } }\n");
  std::string text = read_file(installation.config);
  text.replace(text.find(installation.certificate.ca_file), installation.certificate.ca_file.size(),
               ca.ca_file());
  write_file(installation.config, text);
  const embedded::Process worker({.command = {"sh", "-c", "ulimit -n 300; exec \"$@\"", "sh", csrq_binary(),
                                              "work", "--config", installation.config},
                                  .log_file = installation.folder / "work.log"});
  wait_until("it answers", [&] { return embedded::accepts_connections(port); });
  const Flood flood({.port = port,
                     .kinds = {FloodKind::idle, FloodKind::octets},
                     .connections = 400,
                     .addresses = 200,
                     .opened_again = 5s});
  wait_until("more have come than there is room for", [&] { return flood.established() >= 400; });

  Sql sql(installation.test.url());
  for (const char* name : {"a.example", "b.example", "c.example"}) installation.submit(name);
  wait_until("the rows are issued",
             [&] { return sql.value("SELECT count(*) FROM csrq.request WHERE status = 'issued'") == "3"; });
  CHECK(sql.value("SELECT count(*) FROM csrq.event WHERE what = 'failed'") == "0");
  CHECK(flood.open() <= 151);
}
