#include <csignal>
#include <mutex>
#include <optional>
#include <thread>

#include "crash/crash_fixture.hpp"
#include "crash/private_server.hpp"

using namespace csrq;
using namespace csrq::test;
using namespace std::chrono_literals;

namespace {

using Clock = std::chrono::steady_clock;

bool comes_about(const std::function<bool()>& is_so, Duration within = 60s) {
  const auto until = Clock::now() + within;
  while (!is_so()) {
    if (Clock::now() > until) return false;
    std::this_thread::sleep_for(20ms);
  }
  return true;
}

struct HasServer {
  PrivateServer server{};
};

/// Rows under way on a machine of its own.
struct BadMachine : HasServer, CrashSite {
  BadMachine() : CrashSite(server.url()) {
    stub.change([](StubBehaviour& behaviour) {
      behaviour.looks_until_validated = 1;
      behaviour.looks_until_issued = 1;
    });
  }

  void submit_many(int count) {
    for (int i = 0; i < count; ++i, ++rows)
      submit("customer" + std::to_string(rows % 3), "r" + std::to_string(rows) + ".example");
  }
  bool issues(std::int64_t wanted) {
    return comes_about([&] { return count("csrq.request WHERE status = 'issued'") >= wanted; });
  }

  /// Inserts rows until the server takes no more.
  bool refuses_rows() {
    return comes_about([this] {
      try {
        submit_many(10);
        return false;
      } catch (const pqxx::failure&) {
        return true;
      }
    });
  }
  bool can_connect() {
    try {
      connect();
      return true;
    } catch (const pqxx::failure&) {
      return false;
    }
  }

  int rows{0};
};

/// Processes that stand still for some seconds. A clock lets them go on, whatever else happens: a backend
/// that stopped inside one of PostgreSQL's own short locks stops every other backend, this test's included.
class StoppedProcesses {
 public:
  ~StoppedProcesses() { let_go_on(); }

  void stop(pid_t pid) {
    const std::scoped_lock lock{mutex_};
    pids_.push_back(pid);
    REQUIRE(::kill(pid, SIGSTOP) == 0);
  }
  std::vector<pid_t> pids() const {
    const std::scoped_lock lock{mutex_};
    return pids_;
  }
  void wait_until_they_go_on() { alarm_.join(); }

 private:
  void let_go_on() {
    const std::scoped_lock lock{mutex_};
    for (const pid_t pid : pids_) ::kill(pid, SIGCONT);
  }

  mutable std::mutex mutex_{};
  std::vector<pid_t> pids_{};  // guarded by mutex_
  std::jthread alarm_{[this] {
    std::this_thread::sleep_for(10s);
    let_go_on();
  }};
};

/// A worker's backend that is not among `stopped`.
std::optional<pid_t> running_backend(CrashSite& site, const std::vector<pid_t>& stopped) {
  std::string known;
  for (const pid_t pid : stopped) known += (known.empty() ? "" : ",") + std::to_string(pid);
  const std::string pid = site.sql().value(
      "SELECT pid FROM pg_stat_activity WHERE application_name = 'csrq' "
      "AND datname = current_database() AND pid <> ALL ('{" +
      known + "}') LIMIT 1");
  return pid.empty() ? std::nullopt : std::optional<pid_t>{std::stoi(pid)};
}

/// False: a lock that a stopped backend holds was in the way.
bool silence_ends_leases(CrashSite& site) {
  try {
    site.sql().run("SET lock_timeout = '1s'");
    site.time_passes();
    return true;
  } catch (const pqxx::failure&) {
    return false;
  }
}

}  // namespace

TEST_CASE("a disk that is full under PostgreSQL costs time: no row is lost, no order doubled or orphaned") {
  BadMachine machine;
  const auto worker = machine.start({"work"});
  machine.submit_many(40);
  REQUIRE(machine.issues(10));
  machine.server.fill_disk();
  CHECK(machine.refuses_rows());
  machine.server.free_disk();
  REQUIRE(comes_about([&] { return machine.can_connect(); }));
  const std::int64_t total = machine.count("csrq.request");
  CHECK(total >= machine.rows);  // one that was refused at its commit may be there all the same
  CHECK(machine.issues(total));
  CHECK(machine.stub.orders().size() == static_cast<std::size_t>(total));
  CHECK(machine.damage() == "");
}

TEST_CASE("a disk that is full under the log stops nothing") {
  CrashSite site;
  site.log_to("/dev/full");
  site.submit("acme", "unlogged.example");
  CHECK(site.run({"run"}) == 0);
  CHECK(site.sql().value("SELECT status FROM csrq.request") == "issued");
  CHECK(site.damage() == "");
}

TEST_CASE("a clock that jumps by hours, ahead and back, loses no row, doubles and orphans no order") {
  BadMachine machine;
  const auto first = machine.start({"work"});
  const auto second = machine.start({"work"});
  for (const char* offset : {"+3h", "-2h", "+0"}) {
    CAPTURE(offset);
    machine.submit_many(40);
    REQUIRE(machine.issues(machine.rows - 30));
    machine.server.set_clock(offset);
    // What was put in by a clock that was ahead is due by that clock, unless somebody says otherwise.
    machine.sql().run("SELECT csrq.retry(everything => true)");
    CHECK(machine.issues(machine.rows));
  }
  CHECK(machine.count("csrq.request") == machine.rows);
  CHECK(machine.stub.orders().size() == static_cast<std::size_t>(machine.rows));
  CHECK(machine.count("csrq.event WHERE what = 'failed'") == 0);
  CHECK(machine.damage() == "");
}

TEST_CASE("a backend of PostgreSQL that is stopped, in whatever transaction, loses and doubles nothing") {
  CrashSite site;
  site.stub.change([](StubBehaviour& behaviour) { behaviour.looks_until_issued = 1; });
  constexpr int rows = 60;
  const auto sleeper = site.start({"work"});
  for (int i = 0; i < rows; ++i) site.submit("acme", "b" + std::to_string(i) + ".example");
  REQUIRE(comes_about([&] { return site.count("csrq.request WHERE status = 'issued'") >= 5; }));
  StoppedProcesses backends;
  while (const auto pid = running_backend(site, backends.pids())) backends.stop(*pid);
  REQUIRE_FALSE(backends.pids().empty());
  CHECK(comes_about([&] { return silence_ends_leases(site); }));
  const auto other = site.start({"work"});
  backends.wait_until_they_go_on();
  CHECK(comes_about([&] { return silence_ends_leases(site); }));
  CHECK(comes_about([&] { return site.count("csrq.request WHERE status = 'issued'") == rows; }));
  CHECK(site.stub.orders().size() == rows);
  CHECK(site.damage() == "");
}
