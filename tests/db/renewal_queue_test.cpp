#include <doctest/doctest.h>

#include <future>
#include <thread>

#include "db/store_fixture.hpp"

using namespace csrq;
using namespace csrq::test;

namespace {

struct Renewing : Store {
  /// Issued rows whose renewals are due.
  void due(int count) {
    for (int i = 0; i < count; ++i) {
      submit();
      issue_next(std::to_string(++issued_));
    }
    sql.run("UPDATE csrq.renewal SET renew_at = now() - interval '1 minute'");
  }

 private:
  int issued_{};
};

}  // namespace

TEST_CASE("a claim of renewals takes nothing else, neither fresh rows nor those under way") {
  Renewing store;
  const auto under_way = store.submit();
  const auto claim = store.claim_one();
  store.ready_order(claim.fence);
  REQUIRE(store::put_off(store.database, claim.fence, std::chrono::seconds(0), nullptr));
  store.sql.run("UPDATE csrq.job SET run_at = now() + interval '1 hour'");
  store.due(2);
  store.sql.run("UPDATE csrq.job SET run_at = now() - interval '1 minute'");
  store.submit({.priority = "urgent"});
  CHECK(store::renew_due(store.database, 10) == 2);

  const store::ClaimRules renewals{.renewals_only = true};
  auto claims = store::claim(store.database, store.worker, 10, lease, renewals);
  REQUIRE(claims.size() == 2);
  for (const auto& one : claims) CHECK(one.kind == store::JobKind::renew);
  CHECK(store::claim(store.database, store.worker, 10, lease, renewals).empty());

  // A renewal whose order is open goes on.
  store.ready_order(claims.front().fence, {"b.example"});
  REQUIRE(store::put_off(store.database, claims.front().fence, std::chrono::seconds(0), nullptr));
  CHECK(store::claim(store.database, store.worker, 10, lease, renewals).size() == 1);
  claims = store::claim(store.database, store.worker, 10, lease);
  CHECK(claims.size() == 2);
  CHECK(claims.front().fence.request == under_way);
}

TEST_CASE("per hour: no more renewals enter the queue within any hour, however often workers ask") {
  Renewing store;
  store.due(6);
  CHECK(store::renew_due(store.database, 2, 3) == 2);
  CHECK(store::renew_due(store.database, 2, 3) == 1);
  CHECK(store::renew_due(store.database, 2, 3) == 0);
  // The first two were an hour ago.
  store.sql.run("UPDATE csrq.renewal_pace SET at[1] = at[1] - interval '1 hour'");
  CHECK(store::renew_due(store.database, 10, 3) == 2);
  CHECK(store.sql.value("SELECT cardinality(at) FROM csrq.renewal_pace") == "2");
  CHECK(store::renew_due(store.database, 10) == 1);
  CHECK(store::renew_due(store.database, 10, 3) == 0);
}

TEST_CASE("per hour: a worker that asks while another's count is not committed waits for it") {
  Renewing store;
  store.due(4);
  pqxx::connection other(store.test.url());
  pqxx::work first(other);
  CHECK(first.exec("SELECT csrq.renew_due(10, 3)")[0][0].as<int>() == 3);
  auto second = std::async(std::launch::async, [&] { return store::renew_due(store.database, 10, 3); });
  while (store.sql.value("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND "
                         "wait_event_type = 'Lock'") == "0")
    std::this_thread::yield();
  first.commit();
  CHECK(second.get() == 0);
}

TEST_CASE("looking for due renewals reads the index of due ones, not the portfolio") {
  Renewing store;
  store.due(3);
  store.sql.run("SET session_replication_role = replica");
  store.sql.run(
      "INSERT INTO csrq.renewal (request_id, renew_at) SELECT n, now() + n * interval '1 minute' "
      "FROM generate_series(1000, 50000) n");
  store.sql.run("ANALYZE csrq.renewal");
  pqxx::connection connection(store.test.url());
  pqxx::nontransaction statements(connection);
  const auto rows_read = [&] {
    statements.exec("SELECT pg_stat_force_next_flush()");
    return statements
        .exec("SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'renewal'")[0][0]
        .as<std::int64_t>();
  };
  const std::int64_t before = rows_read();
  CHECK(statements.exec("SELECT csrq.renew_due(500, 100)")[0][0].as<int>() == 3);
  CHECK(rows_read() - before < 100);
}
