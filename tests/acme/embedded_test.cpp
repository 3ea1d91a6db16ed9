#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>
#include <thread>

#include <pqxx/pqxx>

#include "base/error.hpp"
#include "embedded/cluster.hpp"
#include "embedded/pebble.hpp"
#include "embedded/ports.hpp"
#include "embedded/process.hpp"
#include "http/client.hpp"
#include "support/pebble_gate.hpp"
#include "support/test_cluster.hpp"

using namespace std::chrono_literals;
using namespace csrq::embedded;
using csrq::test::PebbleGate;
namespace fs = std::filesystem;

namespace {

fs::path fresh_folder(const std::string& name) {
  static int counter = 0;
  const fs::path folder = csrq::test::run_folder() / (name + std::to_string(++counter));
  fs::create_directories(folder);
  return folder;
}

std::string first_line(const fs::path& file) {
  std::ifstream stream(file);
  std::string line;
  return std::getline(stream, line) && !stream.eof() ? line : "";
}

/// The first whole line of a file that another process writes; empty if it does not come within ten seconds.
std::string wait_for_line(const fs::path& file) {
  const auto until = std::chrono::steady_clock::now() + 10s;
  std::string line;
  while ((line = first_line(file)).empty() && std::chrono::steady_clock::now() < until)
    std::this_thread::sleep_for(5ms);
  return line;
}

/// Somebody else's process, held so that its number cannot go to another.
class OtherProcess {
 public:
  explicit OtherProcess(pid_t pid) : handle_(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))) {}
  ~OtherProcess() { ::close(handle_); }
  OtherProcess(const OtherProcess&) = delete;
  OtherProcess& operator=(const OtherProcess&) = delete;
  bool found() const { return handle_ >= 0; }
  bool ended(std::chrono::milliseconds deadline) const {
    pollfd entry{.fd = handle_, .events = POLLIN, .revents = 0};
    return ::poll(&entry, 1, static_cast<int>(deadline.count())) == 1;
  }

 private:
  int handle_;
};

std::string ask(const std::string& url, const std::string& question) {
  pqxx::connection connection(url);
  const pqxx::result answer = pqxx::nontransaction(connection).exec(question);
  return answer.empty() ? "" : answer[0][0].as<std::string>();
}

int status_of(const std::string& url, const std::string& ca_file) {
  csrq::http::Client client({.ca_file = ca_file});
  return client.send({.url = url}).status;
}

}  // namespace

TEST_CASE("process: a program that is run to its end hands back its exit code and what it wrote") {
  const Outcome outcome = run({.command = {"sh", "-c", "echo $GREETING; pwd >&2; exit 3"},
                               .environment = {{"GREETING", "hello"}},
                               .working_directory = "/"});
  CHECK(outcome.exit_code == 3);
  CHECK(outcome.output == "hello\n/\n");
}

TEST_CASE("process: a program that is missing, or runs too long, is named") {
  CHECK_THROWS_WITH_AS(run({.command = {"no-such-program"}}),
                       "cannot start no-such-program: there is no such program in PATH", csrq::UsageError);
  CHECK_THROWS_WITH_AS(run({.command = {"true"}, .working_directory = "/nowhere"}),
                       "cannot start true: cannot enter /nowhere (No such file or directory)",
                       csrq::UsageError);
  CHECK_THROWS_WITH_AS(run({.command = {"sleep", "1000"}}, 100ms), "sleep did not end within 100ms",
                       csrq::Unreachable);
}

TEST_CASE("process: a child has no descriptor of ours but standard input and output") {
  const int open_by_us = ::open("/dev/null", O_RDONLY);  // on purpose without O_CLOEXEC
  const Outcome outcome = run({.command = {"sh", "-c", "ls /proc/$$/fd"}});
  ::close(open_by_us);
  CHECK(outcome.output == "0\n1\n2\n");
}

TEST_CASE("process: what does not heed the signal to stop is killed, with all it started") {
  const fs::path log = fresh_folder("process") / "log";
  Process process({.command = {"sh", "-c", "trap '' TERM; sleep 1000 & echo $!; while :; do wait; done"},
                   .log_file = log});
  const OtherProcess grandchild(std::stoi("0" + wait_for_line(log)));
  REQUIRE(grandchild.found());
  CHECK(process.running());
  CHECK(process.stop(SIGTERM, 50ms) == 128 + SIGKILL);
  CHECK_FALSE(process.running());
  CHECK(grandchild.ended(10s));
}

TEST_CASE("process: the parent of the next test" * doctest::skip()) {
  const Process child({.command = {"sleep", "1000"}});
  std::cout << child.pid() << std::endl;
  ::pause();
}

TEST_CASE("process: when its parent is killed, nothing is left behind") {
  const fs::path log = fresh_folder("orphan") / "log";
  Process parent({.command = {"/proc/self/exe", "--no-skip", "--no-intro",
                              "--test-case=process: the parent of the next test"},
                  .log_file = log});
  const OtherProcess grandchild(std::stoi("0" + wait_for_line(log)));
  REQUIRE(grandchild.found());
  CHECK_FALSE(grandchild.ended(0ms));
  parent.stop(SIGKILL);
  CHECK(grandchild.ended(10s));
}

TEST_CASE("cluster: a folder is used again by the next start, and a crash loses nothing that was committed") {
  const fs::path folder = fresh_folder("cluster");
  {
    Cluster cluster({.folder = folder, .fsync = false});
    ask(cluster.url(), "CREATE TABLE kept AS SELECT 42 AS answer");
    CHECK(ask(cluster.url("postgres", "postgres"), "SELECT answer FROM kept") == "42");
    cluster.restart(Shutdown::immediate);
    CHECK(ask(cluster.url(), "SELECT answer FROM kept") == "42");
    cluster.stop();
    CHECK_FALSE(cluster.running());
    CHECK_FALSE(fs::exists(folder / "data" / "postmaster.pid"));
    cluster.start();
  }
  Cluster again({.folder = folder, .fsync = false, .settings = {{"work_mem", "7MB"}}});
  CHECK(ask(again.url(), "SELECT answer FROM kept") == "42");
  CHECK(ask(again.url(), "SHOW work_mem") == "7MB");
}

TEST_CASE(
    "cluster: a crash's postmaster.pid that names some other process of the same user does not stop the next "
    "start") {
  const fs::path folder = fresh_folder("stale");
  Cluster cluster({.folder = folder, .fsync = false});
  struct stat status {};
  REQUIRE(::stat((folder / "data").c_str(), &status) == 0);
  fs::copy_file(folder / "data" / "postmaster.pid", folder / "stale.pid");
  cluster.stop();
  ProcessOptions options{.command = {"sleep", "1000"}};
  if (::geteuid() == 0) options.user = User{.name = "owner", .uid = status.st_uid, .gid = status.st_gid};
  const Process bystander(options);
  const std::string lines = run({.command = {"tail", "-n", "+2", folder / "stale.pid"}}).output;
  std::ofstream(folder / "data" / "postmaster.pid") << bystander.pid() << '\n' << lines;
  cluster.start();
  CHECK(ask(cluster.url(), "SELECT 1") == "1");
}

TEST_CASE("cluster: over TCP it asks for the superuser's password") {
  const fs::path folder = fresh_folder("tcp");
  const int port = free_port();
  Cluster cluster({.folder = folder, .port = port, .fsync = false});
  CHECK(ask(cluster.url(), "SELECT 1") == "1");
  const std::string base =
      "host=127.0.0.1 port=" + std::to_string(port) + " dbname=postgres user=postgres password=";
  CHECK(ask(base + first_line(cluster.password_file()), "SELECT 1") == "1");
  CHECK_THROWS_AS(ask(base + "wrong", "SELECT 1"), pqxx::broken_connection);
  CHECK((fs::status(cluster.password_file()).permissions() &
         (fs::perms::group_all | fs::perms::others_all)) == fs::perms::none);
}

TEST_CASE(
    "cluster: a path that is too long for a socket, or that the server's user may not enter, works all the "
    "same") {
  const fs::path closed = fresh_folder("closed");
  fs::permissions(closed, fs::perms::owner_all);
  const fs::path folder = closed / std::string(90, 'x');
  Cluster cluster({.folder = folder, .fsync = false});
  CHECK(ask(cluster.url(), "SELECT 1") == "1");
  cluster.restart();
  CHECK(ask(cluster.url(), "SELECT 1") == "1");
}

TEST_CASE("cluster: a server that cannot start says so with its log") {
  const auto start = [] {
    Cluster({.folder = fresh_folder("broken"), .settings = {{"max_connections", "many"}}});
  };
  try {
    start();
    FAIL("it started");
  } catch (const csrq::Unreachable& error) {
    CHECK(std::string(error.what()).find("invalid value for parameter \"max_connections\"") !=
          std::string::npos);
  }
}

TEST_CASE("pebble: its directory answers, and a restart brings new roots at the same place") {
  Pebble pebble({.folder = fresh_folder("pebble"), .chain_length = 2, .alternate_roots = 1});
  CHECK(status_of(pebble.directory_url(), pebble.ca_file()) == 200);
  const std::string root = pebble.root_pem();
  CHECK(root.starts_with("-----BEGIN CERTIFICATE-----"));
  CHECK(pebble.root_pem(1) != root);
  CHECK_FALSE(pebble.certificate_status("0123456789abcdef").has_value());
  CHECK((fs::status(pebble.key_file()).permissions() & (fs::perms::group_all | fs::perms::others_all)) ==
        fs::perms::none);
  const std::string directory = pebble.directory_url();
  pebble.kill();
  CHECK_FALSE(pebble.running());
  pebble.restart();
  CHECK(pebble.directory_url() == directory);
  CHECK(pebble.root_pem() != root);
}

TEST_CASE("gate: what Pebble answers comes through, with URLs that lead to the gate") {
  const Pebble pebble({.folder = fresh_folder("gate")});
  const PebbleGate gate(pebble);
  csrq::http::Client client({.ca_file = gate.ca_file(), .connections = 1});
  const csrq::http::Response directory = client.send({.url = gate.directory_url()});
  CHECK(directory.status == 200);
  const std::string origin = gate.directory_url().substr(0, gate.directory_url().rfind('/'));
  CHECK(directory.body.find(origin + "/order-plz") != std::string::npos);
  const csrq::http::Response nonce = client.send({.method = "HEAD", .url = origin + "/nonce-plz"});
  CHECK(nonce.status == 200);
  CHECK_FALSE(nonce.header("replay-nonce").empty());
  const csrq::http::Response refused = client.send({.method = "POST",
                                                    .url = origin + "/order-plz",
                                                    .headers = {{"content-type", "application/jose+json"}},
                                                    .body = "no JWS"});
  CHECK(refused.status == 400);
  CHECK(refused.media_type() == "application/problem+json");
  CHECK(gate.requests("dir") == 1);
  CHECK(gate.requests() == 3);
  CHECK(gate.connections() == 1);
  CHECK_FALSE(gate.frozen());
}

TEST_CASE("gate: an answer is lost when it was told so, and only that one") {
  const Pebble pebble({.folder = fresh_folder("gate")});
  PebbleGate gate(pebble);
  gate.lose_answer("dir", 2);
  CHECK(status_of(gate.directory_url(), gate.ca_file()) == 200);
  csrq::http::Client client({.ca_file = gate.ca_file()});
  CHECK_THROWS_AS(client.send({.method = "POST", .url = gate.directory_url()}), csrq::Error);
  CHECK(status_of(gate.directory_url(), gate.ca_file()) == 200);
  CHECK(gate.requests("dir") == 3);
}

TEST_CASE("gate: a Pebble that no longer answers is found out") {
  Pebble pebble({.folder = fresh_folder("gate")});
  const PebbleGate gate(pebble, 200ms);
  REQUIRE(::kill(pebble.pid(), SIGSTOP) == 0);
  CHECK(status_of(gate.directory_url(), gate.ca_file()) == 504);
  CHECK(gate.frozen());
  ::kill(pebble.pid(), SIGCONT);
}
