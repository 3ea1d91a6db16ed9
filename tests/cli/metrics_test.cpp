#include <doctest/doctest.h>
#include <httplib.h>

#include <csignal>

#include "cli/cli_fixture.hpp"
#include "embedded/ports.hpp"

using namespace csrq;
using namespace csrq::test;
using namespace std::chrono_literals;

namespace {

/// `csrq work` with metrics.
class MeasuredWorker {
 public:
  MeasuredWorker()
      : installation("https://127.0.0.1:1/dir",
                     "metrics: { listen: \"127.0.0.1:" + std::to_string(port_) + "\" }\n"),
        process_({.command = {csrq_binary(), "work", "--config", installation.config},
                  .log_file = installation.folder / "work.log"}) {
    wait_until("it answers", [this] { return embedded::accepts_connections(port_); });
  }

  /// Fails the test unless the answer comes within a second.
  std::string scrape(const std::string& target = "/metrics") const {
    httplib::Client client("127.0.0.1", port_);
    client.set_read_timeout(10);
    const auto start = std::chrono::steady_clock::now();
    const auto answer = client.Get(target);
    CHECK(std::chrono::steady_clock::now() - start < 1s);
    REQUIRE(answer);
    CHECK(answer->status == 200);
    return answer->body;
  }
  bool tells(const std::string& line) const { return says(scrape(), "\n" + line); }

  /// While the database does not answer. All within the 15 seconds that figures may be old.
  void check_goes_down() const {
    const auto start = std::chrono::steady_clock::now();
    wait_until("the database is told to be down", [this] { return tells("csrq_database_up 0\n"); });
    CHECK(std::chrono::steady_clock::now() - start < 15s);
    const std::string metrics = scrape();
    CHECK_FALSE(says(metrics, "\ncsrq_jobs"));
    CHECK(says(metrics, "\ncsrq_rows_claimed_total "));
    CHECK(says(metrics, "\ncsrq_database_calls_total "));
  }
  void check_comes_back() const {
    wait_until("the database is told to be up", [this] { return tells("csrq_database_up 1\n"); });
    CHECK(tells("csrq_jobs{state=\"due\"} "));
  }

  void reload() { process_.signal(SIGHUP); }

 private:
  int port_{embedded::free_port()};

 public:
  Installation installation;

 private:
  embedded::Process process_;
};

/// Every server process of a database stands still, as if the machine or the network did.
class Suspended {
 public:
  explicit Suspended(const std::string& url) {
    pqxx::connection connection(url);
    pqxx::nontransaction statements(connection);
    for (const auto& row : statements.exec("SELECT pid FROM pg_stat_activity "
                                           "WHERE datname = current_database() AND pid <> pg_backend_pid()"))
      processes_.push_back(row[0].as<pid_t>());
    for (const pid_t process : processes_) ::kill(process, SIGSTOP);
  }
  ~Suspended() {
    for (const pid_t process : processes_) ::kill(process, SIGCONT);
  }
  Suspended(const Suspended&) = delete;
  Suspended& operator=(const Suspended&) = delete;

  std::size_t count() const { return processes_.size(); }

 private:
  std::vector<pid_t> processes_{};
};

}  // namespace

TEST_CASE("metrics: the first scrape tells the queue, whatever its query string") {
  const MeasuredWorker worker;
  for (const char* target : {"/metrics", "/metrics?", "/metrics?name[]=csrq_jobs&x=/"}) {
    CAPTURE(target);
    CHECK(says(worker.scrape(target), "\ncsrq_database_up 1\n"));
    CHECK(says(worker.scrape(target), "\ncsrq_jobs{state=\"due\"} 0\n"));
  }
}

TEST_CASE("metrics: they answer within a second while the database does not") {
  const MeasuredWorker worker;
  CHECK(worker.tells("csrq_database_up 1\n"));

  SUBCASE("because somebody has locked the queue") {
    pqxx::connection connection(worker.installation.test.url());
    {
      pqxx::work holder(connection);
      holder.exec("LOCK TABLE csrq.job IN ACCESS EXCLUSIVE MODE");
      worker.check_goes_down();
    }
    worker.check_comes_back();
  }
  SUBCASE("because it is away") {
    cluster().stop();
    worker.check_goes_down();
    cluster().start();
    worker.check_comes_back();
  }
  SUBCASE("because it stands still") {
    {
      const Suspended suspended(worker.installation.test.url());
      CHECK(suspended.count() > 0);
      worker.check_goes_down();
    }
    worker.check_comes_back();
  }
}

TEST_CASE("metrics: they answer while a worker that is to be started again finds no database") {
  MeasuredWorker worker;
  cluster().stop();
  worker.reload();
  wait_until("the worker is gone", [&] { return !worker.tells("csrq_rows_claimed_total "); });
  CHECK(worker.tells("csrq_database_up 0\n"));
  cluster().start();
  worker.check_comes_back();
}

TEST_CASE("metrics: what the queue does shows within 15 seconds") {
  const MeasuredWorker worker;
  worker.installation.submit("a.example");
  const auto start = std::chrono::steady_clock::now();
  wait_until("a row shows", [&] {
    return !says(
        worker.scrape(),
        "csrq_jobs{state=\"due\"} 0\ncsrq_jobs{state=\"leased\"} 0\ncsrq_jobs{state=\"waiting\"} 0\n");
  });
  CHECK(std::chrono::steady_clock::now() - start < 15s);
}
