#include <doctest/doctest.h>

#include "base/error.hpp"
#include "db/store_fixture.hpp"
#include "store/janitor.hpp"

using namespace csrq;
using namespace csrq::test;

TEST_CASE("a lock on a row holds up the row's call, and no other") {
  Store store;
  const auto kept = store.submit();
  store.submit();
  const auto first = store.claim_one();
  const auto second = store.claim_one();
  REQUIRE(first.fence.request == kept);
  pqxx::connection connection(store.test.url());
  pqxx::work app(connection);
  app.exec("SELECT FROM csrq.job WHERE request_id = " + std::to_string(store::number(kept)) + " FOR UPDATE");
  CHECK_THROWS_AS(std::ignore = store::record_failure(store.database, first.fence,
                                                      some_failure(FailureClass::transient), schedule),
                  TryAgain);
  CHECK(store::heartbeat(store.database, store.worker, {first.fence, second.fence}, lease).empty());
  CHECK(store::record_failure(store.database, second.fence, some_failure(FailureClass::transient), schedule));
  app.commit();
  CHECK(store::record_failure(store.database, first.fence, some_failure(FailureClass::transient), schedule));
}

TEST_CASE("a query that somebody cancels may be tried again") {
  Store store;
  CHECK_THROWS_AS(store.database.run([](pqxx::transaction_base& transaction) {
    transaction.exec(
        "DO $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$");
  }),
                  TryAgain);
  CHECK(store::rescue(store.database) == 0);
}

TEST_CASE("a NOTIFY that finds PostgreSQL's queue full may be tried again, and ends nothing") {
  Store store;
  store.sql.run("CREATE TABLE full_queue ()");
  store.sql.run(
      "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
      "RAISE EXCEPTION 'too many notifications in the NOTIFY queue' USING ERRCODE = '54000'; END $$");
  // At the commit, as PostgreSQL does it.
  store.sql.run(
      "CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON full_queue DEFERRABLE INITIALLY DEFERRED "
      "FOR EACH ROW EXECUTE FUNCTION refuse()");
  CHECK_THROWS_AS(store.database.run_alone([](pqxx::transaction_base& transaction) {
    transaction.exec("INSERT INTO public.full_queue DEFAULT VALUES");
  }),
                  TryAgain);
  const auto commits = store.database.statistics().commits;
  store::notify_changes(store.database);
  CHECK(store.database.statistics().commits == commits + 1);
}

TEST_CASE(
    "rows of a suspended customer stay where they are, whether their worker stops, dies, or they are "
    "retried") {
  Store store;
  store.submit();
  store.claim_one();
  store.sql.run("SELECT csrq.suspend('acme')");
  store::worker_stop(store.database, store.worker);
  CHECK(store::claim(store.database, store.worker, 1, lease).empty());
  store::follow_suspensions(store.database);
  CHECK(store.sql.value("SELECT parked_because FROM csrq.job") == "suspended");

  Store other;
  other.submit();
  other.claim_one();
  other.sql.run("SELECT csrq.suspend('acme')");
  other.worker_dies();
  CHECK(store::rescue(other.database) == 1);
  store::follow_suspensions(other.database);
  CHECK(other.sql.value("SELECT parked_because FROM csrq.job") == "suspended");
}

TEST_CASE("an order that was finalized is not closed by time: it may have a certificate") {
  Store store;
  store.submit();
  const auto claim = store.claim_one();
  const auto order = store.ready_order(claim.fence);
  store::begin_finalize(store.database, claim.fence, order);
  REQUIRE(
      store::record_failure(store.database, claim.fence, some_failure(FailureClass::transient), schedule));
  store.sql.run("UPDATE csrq.acme_order SET expires_at = now() - interval '1 day'");
  CHECK(store::tidy(store.database) == 0);
  CHECK(store.sql.value("SELECT closed_at IS NULL FROM csrq.acme_order") == "t");
}

TEST_CASE("a cancelled row is not finalized") {
  Store store;
  const auto id = store.submit();
  const auto claim = store.claim_one();
  const auto order = store.ready_order(claim.fence);
  store::cancel(store.database, id);
  CHECK_THROWS_AS(store::begin_finalize(store.database, claim.fence, order), store::LeaseLost);
  CHECK(store.sql.value("SELECT finalize_at IS NULL FROM csrq.acme_order") == "t");
}
