#include <doctest/doctest.h>

#include <future>
#include <set>
#include <thread>

#include "db/store_fixture.hpp"

using namespace csrq;
using namespace csrq::test;

TEST_CASE("a claim carries what the step needs: the row's wishes, else the customer's") {
  Store store;
  store.sql.run(
      "INSERT INTO csrq.customer (name, ca, profile) VALUES ('acme', 'customers-ca', 'customers-profile')");
  const auto id = store.submit({.profile = "rows-profile", .challenge = "dns-01"});
  const auto claim = store.claim_one();
  CHECK(claim.fence.worker == store.worker);
  CHECK(claim.fence.request == id);
  CHECK(claim.customer == "acme");
  CHECK(claim.kind == store::JobKind::issue);
  CHECK(claim.attempt == 1);
  CHECK(claim.csr == some_csr);
  CHECK(claim.ca == "customers-ca");
  CHECK(claim.profile == "rows-profile");
  CHECK(claim.challenge == "dns-01");
  CHECK(claim.preferred_chain.empty());
  CHECK(claim.names.empty());
}

TEST_CASE("four workers that claim at once never get the same row, and get them all") {
  Store store;
  store.sql.run("INSERT INTO csrq.request (customer, csr) SELECT 'acme', 'x' FROM generate_series(1, 200)");
  const auto work = [&] {
    store::Database database({.url = store.test.url()});
    const auto worker = store::worker_start(database, "host", 2, "test");
    std::vector<store::RequestId> mine;
    for (auto claims = store::claim(database, worker, 7, lease); !claims.empty();
         claims = store::claim(database, worker, 7, lease)) {
      for (const auto& claim : claims) mine.push_back(claim.fence.request);
    }
    return mine;
  };
  std::vector<std::future<std::vector<store::RequestId>>> workers;
  workers.reserve(4);
  for (int i = 0; i < 4; ++i) workers.push_back(std::async(std::launch::async, work));
  std::size_t claimed = 0;
  std::set<store::RequestId> rows;
  for (auto& worker : workers) {
    for (const auto id : worker.get()) {
      ++claimed;
      rows.insert(id);
    }
  }
  CHECK(claimed == 200);
  CHECK(rows.size() == 200);
}

TEST_CASE("urgent rows are claimed before normal ones, bulk ones last") {
  Store store;
  const auto bulk = store.submit({.priority = "bulk"});
  const auto normal = store.submit();
  const auto urgent = store.submit({.priority = "urgent"});
  CHECK(store.claim_one().fence.request == urgent);
  CHECK(store.claim_one().fence.request == normal);
  CHECK(store.claim_one().fence.request == bulk);
  CHECK(store::claim(store.database, store.worker, 10, lease).empty());
}

TEST_CASE("a row with run_after is not claimed before then") {
  Store store;
  store.sql.run(
      "INSERT INTO csrq.request (customer, csr, run_after) VALUES ('acme', 'x', now() + interval '1 hour')");
  CHECK(store::claim(store.database, store.worker, 1, lease).empty());
}

TEST_CASE("whoever reschedules a row that a worker is writing to does not wait for it, and the job follows") {
  Store store;
  const auto id = store.submit();
  const auto fence = store.claim_one().fence;
  pqxx::connection workers(store.test.url());
  pqxx::connection admins(store.test.url());
  pqxx::work worker(workers);
  worker.exec("SELECT FROM csrq.job FOR UPDATE");
  pqxx::work admin(admins);
  admin.exec("SET LOCAL lock_timeout = '5s'");
  admin.exec("UPDATE csrq.request SET priority = 'urgent', run_after = now() + interval '1 day'");
  worker.commit();

  const auto put_off = [&] {
    return store::put_off(store.database, fence, std::chrono::minutes(1), nullptr);
  };
  CHECK_THROWS_AS(put_off(), store::RowLocked);
  admin.commit();
  CHECK(put_off());
  CHECK(store.job(id, "lane") == "0");
  CHECK(store.job(id, "run_at > now() + interval '23 hours'") == "t");
}

TEST_CASE("a row that is rescheduled while a worker has it comes back as it says by then") {
  Store store;
  const auto id = store.submit();
  const auto claim = store.claim_one();
  {
    pqxx::connection connection(store.test.url());
    pqxx::work worker(connection);
    worker.exec("SELECT FROM csrq.job FOR UPDATE");
    store.sql.run("SET lock_timeout = '5s'");
    store.sql.run("UPDATE csrq.request SET priority = 'bulk', run_after = now() + interval '1 hour'");
  }
  CHECK(store.job(id, "lane") == "1");
  CHECK(store::put_off(store.database, claim.fence, std::chrono::seconds(0), nullptr));
  CHECK(store.job(id, "lane") == "3");
  CHECK(store.job(id, "run_at > now() + interval '59 minutes'") == "t");
}

TEST_CASE("under a lease that was lost nothing is written") {
  Store store;
  const auto id = store.submit();
  const auto old = store.claim_one();
  const auto order = store.ready_order(old.fence);
  store.worker_dies();
  CHECK(store::rescue(store.database) == 1);
  const auto other = store::worker_start(store.database, "other", 2, "test");
  const auto current = store::claim(store.database, other, 1, lease).at(0);
  REQUIRE(current.fence.request == id);

  const auto none_of = [&](const store::Fence& fence) {
    CHECK_FALSE(store::complete(store.database, fence, Store::issued(order, "ab")));
    CHECK_FALSE(store::complete_revocation(store.database, fence));
    CHECK_FALSE(
        store::record_failure(store.database, fence, some_failure(FailureClass::permanent), schedule));
    CHECK_FALSE(store::put_off(store.database, fence, lease, nullptr));
    CHECK_FALSE(store::drop_cancelled(store.database, fence));
    CHECK_THROWS_AS(store::open_order(store.database, fence, store::AccountId{1}, {"b.example"}, {}),
                    store::LeaseLost);
    CHECK_THROWS_AS(
        (void)store::record_order(store.database, fence, Store::order_record(order, "https://x/1")),
        store::LeaseLost);
    CHECK_THROWS_AS(store::record_authorizations(store.database, fence, {}), store::LeaseLost);
    CHECK_THROWS_AS(store::close_order(store.database, fence, order, OrderStatus::lost,
                                       some_failure(FailureClass::transient)),
                    store::LeaseLost);
    CHECK(store::heartbeat(store.database, fence.worker, {fence}, lease) == std::vector{fence});
  };
  none_of(old.fence);
  none_of({.worker = other, .request = id, .lease = old.fence.lease});
  CHECK(store.request(id, "status") == "pending");
  CHECK(store.request(id, "error") == "");
  CHECK(store.request(id, "names") == "{a.example}");
  CHECK(store.job(id, "status") == "leased");
  CHECK(store.sql.value("SELECT closed_at FROM csrq.acme_order") == "");
  CHECK(store::complete(store.database, current.fence, Store::issued(order, "ab")));
}

TEST_CASE("a heartbeat prolongs leases and names those to drop") {
  Store store;
  const auto kept = store.submit();
  const auto cancelled = store.submit();
  auto claims = store::claim(store.database, store.worker, 2, std::chrono::seconds(30));
  REQUIRE(claims.size() == 2);
  CHECK(store::cancel(store.database, cancelled).find("a worker is busy") != std::string::npos);
  const auto to_drop =
      store::heartbeat(store.database, store.worker, {claims[0].fence, claims[1].fence}, lease);
  REQUIRE(to_drop.size() == 1);
  CHECK(to_drop[0].request == cancelled);
  CHECK(store.job(kept, "lease_until > now() + interval '9 minutes'") == "t");
  CHECK(store::drop_cancelled(store.database, to_drop[0]));
  CHECK(store.job(cancelled, "status") == "");
  CHECK(store::heartbeat(store.database, store.worker, {}, lease).empty());
}

TEST_CASE("leases of a living worker are not rescued, those that ran out are") {
  Store store;
  const auto id = store.submit();
  store.claim_one();
  CHECK(store::rescue(store.database) == 0);
  store.sql.run("UPDATE csrq.job SET lease_until = now() - interval '1 second'");
  CHECK(store::rescue(store.database) == 1);
  CHECK(store.job(id, "status") == "ready");
}

TEST_CASE("a row on which five workers died is parked, and csrq.retry starts it again") {
  Store store;
  const auto id = store.submit();
  for (int death = 1; death <= 5; ++death) {
    CAPTURE(death);
    const auto worker = store::worker_start(store.database, "host", death, "test");
    REQUIRE(store::claim(store.database, worker, 1, lease).size() == 1);
    store.worker_dies();
    CHECK(store::rescue(store.database) == 1);
    CHECK(store.job(id, "status") == (death < 5 ? "ready" : "parked"));
  }
  CHECK(store.request(id, "status") == "failed");
  CHECK(store.request(id, "error ->> 'code'") == "rescued_too_often");
  CHECK(store::retry(store.database, {.id = id}) == 1);
  CHECK(store.request(id, "status") == "pending");
  CHECK(store.job(id, "status") == "ready");
}

TEST_CASE("a worker that stops gives its rows back, and no attempt is counted") {
  Store store;
  store.submit();
  store.claim_one();
  CHECK(store::worker_stop(store.database, store.worker) == 1);
  const auto other = store::worker_start(store.database, "other", 2, "test");
  CHECK(store::claim(store.database, other, 1, lease).at(0).attempt == 1);
}

TEST_CASE("workers that have neither stopped nor gone silent are counted as alive, and at least one is") {
  Store store;
  CHECK(store::live_workers(store.database) == 1);
  const auto second = store::worker_start(store.database, "second", 2, "test");
  store::worker_start(store.database, "third", 3, "test");
  CHECK(store::live_workers(store.database) == 3);
  store::worker_stop(store.database, second);
  CHECK(store::live_workers(store.database) == 2);
  store.worker_dies();
  CHECK(store::live_workers(store.database) == 1);
}

TEST_CASE("times in events end in Z, like all times in JSON") {
  Store store;
  store.submit();
  const store::Claim claim = store.claim_one();
  const Failure why = some_failure(FailureClass::transient);
  REQUIRE(store::put_off(store.database, claim.fence, std::chrono::hours(1), &why));
  CHECK(store.sql.value("SELECT detail ->> 'next_attempt_at' ~ '^[0-9-]{10}T[0-9:]{8}Z$' "
                        "FROM csrq.event WHERE what = 'put_off'") == "t");
}
