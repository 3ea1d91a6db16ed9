#include "crash/crash_fixture.hpp"
#include "store/migrations.hpp"
#include "support/cluster_pair.hpp"

using namespace csrq;
using namespace csrq::test;
using namespace std::chrono_literals;

namespace {

using Clock = std::chrono::steady_clock;

struct MigratedPair {
  MigratedPair() {
    store::Database database({.url = pair.primary.url()});
    store::migrate(database, {});
  }
  ClusterPair pair{};
};

/// A primary with a standby, both named by the url of two workers.
struct FailoverSite : MigratedPair, CrashSite {
  FailoverSite() : CrashSite(pair.url() + "&target_session_attrs=primary") {
    stub.change([](StubBehaviour& behaviour) {
      behaviour.looks_until_validated = 1;
      behaviour.looks_until_issued = 1;
    });
  }

  void submit_many(int count) {
    for (int i = 0; i < count; ++i, ++rows)
      submit("customer" + std::to_string(rows % 5), "r" + std::to_string(rows) + ".example");
  }
  std::int64_t issued() { return count("csrq.request WHERE status = 'issued'"); }
  bool wait_for_issued(std::int64_t wanted, Duration patience) {
    const auto until = Clock::now() + patience;
    while (issued() < wanted && Clock::now() < until) std::this_thread::sleep_for(20ms);
    return issued() >= wanted;
  }
  /// What the rows' history should not have to tell.
  std::string troubles() {
    return sql().value(
        "SELECT string_agg(DISTINCT what || ' ' || coalesce(detail ->> 'error', ''), '; ') FROM csrq.event "
        "WHERE what IN ('failed', 'parked', 'rescued')");
  }
  /// Rows go on within ten seconds by themselves, and all come to their end.
  void go_on_after_failover() {
    const auto promoted = Clock::now();
    connect();
    const std::int64_t before = issued();
    REQUIRE(before < rows);
    CHECK(wait_for_issued(before + 1, 10s));
    INFO("seconds until the first row went on: ",
         std::chrono::duration<double>(Clock::now() - promoted).count());
    CHECK(wait_for_issued(rows, 90s));
  }

  int rows{0};
};

}  // namespace

TEST_CASE(
    "a synchronous standby promoted under load: rows go on within ten seconds, none is lost, no order "
    "doubled, none orphaned") {
  FailoverSite site;
  site.pair.make_synchronous();
  const auto first = site.start({"work"});
  const auto second = site.start({"work"});
  site.submit_many(20);
  REQUIRE(site.wait_for_issued(20, 30s));
  site.submit_many(130);
  REQUIRE(site.wait_for_issued(40, 30s));
  site.pair.fail_over();
  site.go_on_after_failover();
  CHECK(site.count("csrq.request") == site.rows);
  CHECK(site.stub.orders().size() == static_cast<std::size_t>(site.rows));
  CHECK(site.troubles() == "");
  site.run({"authz", "sweep"});
  CHECK(site.damage() == "");
}

TEST_CASE(
    "an asynchronous standby that is behind, promoted under load: rows that remain go on within ten seconds, "
    "and what it has lost is found again at the CA") {
  FailoverSite site;
  const auto survivor = site.start({"work"});
  const auto victim = site.start({"work"});
  site.submit_many(20);
  REQUIRE(site.wait_for_issued(20, 30s));
  site.submit_many(130);
  site.pair.wait_until_caught_up();
  REQUIRE(site.wait_for_issued(40, 30s));
  site.pair.cut_replication();
  // All that comes now is lost: whole orders and certificates, and rows that were inserted late.
  site.submit("customer1", "late.example");
  REQUIRE(site.wait_for_issued(site.rows + 1, 60s));
  SUBCASE("both workers live on") {}
  SUBCASE("one dies together with the primary") {
    victim->signal(SIGKILL);
  }
  SUBCASE("both die, and another one comes") {
    victim->signal(SIGKILL);
    survivor->signal(SIGKILL);
  }
  site.pair.fail_over();
  const auto another = site.start({"work"});
  site.go_on_after_failover();
  CHECK(site.count("csrq.request") == site.rows);
  site.submit("customer1", "late.example");  // as the app does that misses its row
  CHECK(site.wait_for_issued(site.rows + 1, 30s));
  CHECK(site.stub.orders().size() == static_cast<std::size_t>(site.rows) + 1);
  CHECK(site.stub.accounts().size() == 5);
  CHECK(site.troubles() == "");
  CHECK(site.damage() == "");
}

TEST_CASE("an account that a promotion has lost is saved again by the worker that made it, with its orders") {
  FailoverSite site;
  site.submit_many(20);
  site.pair.wait_until_caught_up();
  site.pair.cut_replication();
  const auto worker = site.start({"work"});
  REQUIRE(site.wait_for_issued(20, 30s));
  site.pair.fail_over();
  site.go_on_after_failover();
  CHECK(site.stub.accounts().size() == 5);
  CHECK(site.stub.orders().size() == 20);
  CHECK(site.damage() == "");
}
