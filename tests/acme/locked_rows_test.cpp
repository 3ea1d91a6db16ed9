#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <list>
#include <optional>

#include "config/config.hpp"
#include "support/issuing_fixture.hpp"

using namespace csrq;
using namespace csrq::test;
using Kind = StubRequest;

namespace {

using Clock = std::chrono::steady_clock;

/// Workers like `csrq work`, a customer (bob) whose orders stay at the CA until they are let go, and his app.
struct Contested : StubIssuing {
  explicit Contested(int workers_wanted = 1) {
    stub.change([this](StubBehaviour& ca) {
      ca.edit_order = [this](nlohmann::json& order) {
        const auto name = order.at("identifiers").at(0).at("value").get<std::string>();
        if (is_stalled && name.starts_with("bob") && order.at("status") == "valid") {
          order["status"] = "processing";
          order.erase("certificate");
        }
      };
    });
    workers_.resize(static_cast<std::size_t>(workers_wanted));
  }
  ~Contested() { stop(); }

  void start() {
    for (auto& worker : workers_) worker = std::make_unique<Running>(config, keyring);
  }
  void stop() {
    for (auto& worker : workers_)
      if (worker) worker->issuer.stop();
    workers_.clear();
  }

  void submit_all(const std::string& customer, int rows) {
    for (int i = 0; i < rows; ++i) submit({customer + std::to_string(submitted_++) + ".example"}, customer);
  }
  /// Its account is there, for both workers.
  void introduce(const std::string& customer) {
    submit_all(customer, 1);
    until_issued(customer);
  }
  /// How long it takes, from now, until all rows of a customer are issued.
  Clock::duration until_issued(const std::string& customer) {
    const auto began = Clock::now();
    wait_for("SELECT NOT EXISTS (SELECT FROM csrq.request WHERE status = 'pending' AND customer = '" +
             customer + "')");
    return Clock::now() - began;
  }
  /// Whether 20 rows are issued within this time: at the third try at the latest, since the machine has other
  /// work, too, while locks stay.
  bool issues_within(Clock::duration longest, const std::string& customer) {
    for (int tries = 0; tries < 3; ++tries) {
      submit_all(customer, 20);
      if (until_issued(customer) < longest) return true;
    }
    return false;
  }
  std::uint64_t submitted() const { return static_cast<std::uint64_t>(submitted_); }
  void wait_for(const std::string& condition) {
    while (sql.value(condition) != "t") std::this_thread::yield();
  }
  /// All rows of bob are leased, and wait for the CA to finish with their orders.
  void wait_for_bob(int rows) {
    wait_for("SELECT count(*) = " + std::to_string(rows) +
             " FROM csrq.acme_order WHERE customer = 'bob' AND finalize_at IS NOT NULL");
  }

  std::atomic<bool> is_stalled{true};

 private:
  struct Running {
    Running(const Config& config, const accounts::Keyring& keyring)
        : worker(config, keyring),
          issuer(config, worker.database, worker.coordination, worker.cas, worker.accounts, {}) {}
    TestWorker worker;
    workers::Issuer issuer;
    RunningBatch batch{[this] {
      issuer.work();
      return issuer.tally();
    }};
  };
  int submitted_{0};
  std::vector<std::unique_ptr<Running>> workers_{};
};

/// An app's open transaction that has bob's rows locked.
struct OpenTransaction {
  explicit OpenTransaction(const std::string& url, const std::string& statement) : connection(url) {
    transaction.exec(statement);
  }
  pqxx::connection connection;
  pqxx::work transaction{connection};
};

constexpr auto cancel_all_leased =
    "SELECT csrq.cancel(request_id) FROM csrq.job WHERE status = 'leased' AND customer = 'bob'";

}  // namespace

TEST_CASE("rows that an app has locked take no room from others, and go on when the lock is gone") {
  Contested world;
  world.ca_config().orders_in_flight = 4;
  world.start();
  world.submit_all("bob", 4);
  world.wait_for_bob(4);
  {
    OpenTransaction app(world.test.url(), cancel_all_leased);
    world.is_stalled = false;
    world.submit_all("alice", 10);
    world.until_issued("alice");
    CHECK(world.count("request WHERE customer = 'bob' AND status = 'issued'") == "0");
    app.transaction.abort();
  }
  world.until_issued("bob");
  world.stop();
  CHECK(world.stub.requests(Kind::new_order) == 14);
  CHECK(world.count("event WHERE what IN ('failed', 'rescued', 'put_off')") == "0");
}

TEST_CASE(
    "however many rows an app has locked for a minute, another customer's are done as fast as without") {
  struct World {
    explicit World(int rows) : bobs(rows) {}
    int bobs;
    Contested contested{2};
    std::optional<OpenTransaction> app{};
    Clock::time_point locked_at{};
    Clock::duration longest{};
    bool is_as_fast{};
  };
  std::list<World> worlds;
  for (const int rows : {16, 60, 400}) {
    World& world = worlds.emplace_back(rows);
    world.contested.start();
    for (const char* customer : {"alice", "carol", "dave"}) world.contested.introduce(customer);
    world.contested.submit_all("bob", rows);
    world.contested.wait_for_bob(rows);
    world.contested.submit_all("alice", 20);
    // By chance a claim may come half a second later, and the machine may have more to do: a fraction of a minute.
    world.longest = world.contested.until_issued("alice") * 2 + std::chrono::seconds(2);
    world.app.emplace(world.contested.test.url(), cancel_all_leased);
    world.locked_at = Clock::now();
    world.contested.is_stalled = false;
    world.is_as_fast = world.contested.issues_within(world.longest, "carol");
  }
  for (World& world : worlds) {
    CAPTURE(world.bobs);
    CHECK(world.is_as_fast);
    std::this_thread::sleep_until(world.locked_at + std::chrono::minutes(1));  // this is what bob does
    CHECK(world.contested.sql.value("SELECT max(now() - heartbeat_at) < interval '30 s' FROM csrq.worker") ==
          "t");
    CHECK(world.contested.issues_within(world.longest, "dave"));
    world.app->transaction.abort();
    world.contested.until_issued("bob");
    world.contested.stop();
    CHECK(world.contested.stub.requests(Kind::new_order) == world.contested.submitted());
    CHECK(world.contested.count("event WHERE what IN ('failed', 'rescued')") == "0");
  }
}

TEST_CASE("however an app locks its rows, another customer's are done, and its own go on afterwards") {
  Contested world;
  world.start();
  for (const char* customer : {"alice", "carol"}) world.introduce(customer);
  world.submit_all("bob", 8);
  world.wait_for_bob(8);
  world.submit_all("alice", 20);
  const auto longest = world.until_issued("alice") * 3 / 2 + std::chrono::milliseconds(500);
  std::string statement;
  SUBCASE("by retries") {
    statement = "SELECT csrq.retry(id => request_id) FROM csrq.job WHERE customer = 'bob'";
  }
  SUBCASE("by a change of its own options") {
    statement = "UPDATE csrq.request SET auto_renew = false WHERE customer = 'bob'";
  }
  SUBCASE("by all tables") {
    statement = "LOCK TABLE csrq.request, csrq.job IN ACCESS SHARE MODE";
  }
  SUBCASE("by a snapshot") {
    statement = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM csrq.request";
  }
  SUBCASE("by inserts") {
    statement =
        "INSERT INTO csrq.request (customer, csr) SELECT 'bob', csr FROM csrq.request WHERE customer = "
        "'bob'; ";
  }
  OpenTransaction app(world.test.url(), statement);
  world.is_stalled = false;
  CHECK(world.issues_within(longest, "carol"));
  app.transaction.abort();
  world.until_issued("bob");
  world.stop();
  CHECK(world.stub.requests(Kind::new_order) == world.submitted());
  CHECK(world.count("event WHERE what IN ('failed', 'rescued')") == "0");
}

TEST_CASE("a worker that is told to stop gives back all but the locked rows, which others get uncounted") {
  Contested world;
  world.start();
  world.submit_all("bob", 3);
  world.wait_for_bob(3);
  {
    OpenTransaction app(world.test.url(),
                        "SELECT csrq.cancel(min(request_id)) FROM csrq.job WHERE status = 'leased'");
    world.stop();
    CHECK(world.count("job WHERE status = 'leased'") == "1");
    CHECK(world.count("job WHERE status = 'ready'") == "2");
    app.transaction.abort();
  }
  world.is_stalled = false;
  CHECK(store::rescue(world.worker().database) == 1);
  CHECK(world.count("job WHERE rescues = 0 AND attempt = 0") == "3");
  world.sql.run("UPDATE csrq.job SET run_at = now()");
  CHECK(world.run().issued == 3);
  CHECK(world.stub.requests(Kind::new_order) == 3);
}

TEST_CASE("a row that its app cancels while a worker has it is finished with when the app commits") {
  Contested world;
  world.start();
  world.submit_all("bob", 1);
  world.wait_for_bob(1);
  OpenTransaction app(world.test.url(), cancel_all_leased);
  world.is_stalled = false;
  world.submit_all("alice", 1);
  world.until_issued("alice");
  app.transaction.commit();
  world.wait_for("SELECT NOT EXISTS (SELECT FROM csrq.job)");
  world.stop();
  CHECK(world.count("request WHERE status = 'cancelled'") == "1");
  CHECK(world.count("acme_order WHERE closed_at IS NULL") == "0");
}

TEST_CASE("a batch does not end because another worker's claim has what is due locked at that moment") {
  StubIssuing world;
  world.submit({"a.example"});
  pqxx::connection connection(world.test.url());
  std::optional<pqxx::work> claim;
  claim.emplace(connection);
  claim->exec("SELECT csrq.wake_customers(10)");
  claim->exec("SELECT FROM csrq.turn FOR UPDATE");
  claim->exec("SELECT FROM csrq.job FOR NO KEY UPDATE");
  RunningBatch batch = world.start_run();
  while (world.sql.value("SELECT count(*) FROM csrq.worker") != "1") std::this_thread::yield();
  claim->commit();
  CHECK(batch.wait().issued == 1);
}
