#include <doctest/doctest.h>

#include <future>
#include <set>
#include <sstream>
#include <thread>

#include "db/store_fixture.hpp"
#include "store/before_order.hpp"
#include "store/janitor.hpp"

using namespace csrq;
using namespace csrq::test;

namespace {

/// Somebody's transaction that stays open.
class OpenTransaction {
 public:
  explicit OpenTransaction(Store& store) : connection_(store.test.url()) {}
  OpenTransaction& run(const std::string& statement) {
    transaction_.exec(statement);
    return *this;
  }
  void abort() { transaction_.abort(); }
  void commit() { transaction_.commit(); }

 private:
  pqxx::connection connection_;
  pqxx::work transaction_{connection_};
};

std::string job_of(store::RequestId id) {
  return " FROM csrq.job WHERE request_id = " + std::to_string(store::number(id));
}

/// Every write that a step may end with or contain, of a row with an open order.
std::vector<std::pair<std::string, std::function<void(Store&, const store::Fence&, store::OrderId)>>>
writes() {
  const Failure why = some_failure(FailureClass::transient);
  return {
      {"complete",
       [](Store& store, const store::Fence& fence, store::OrderId order) {
         std::ignore = store::complete(store.database, fence, Store::issued(order, "01"));
       }},
      {"complete_revocation",
       [](Store& store, const store::Fence& fence, store::OrderId) {
         std::ignore = store::complete_revocation(store.database, fence);
       }},
      {"record_failure",
       [=](Store& store, const store::Fence& fence, store::OrderId) {
         std::ignore = store::record_failure(store.database, fence, why, schedule);
       }},
      {"put_off",
       [=](Store& store, const store::Fence& fence, store::OrderId) {
         std::ignore = store::put_off(store.database, fence, std::chrono::minutes(1), &why);
       }},
      {"explain_wait",
       [=](Store& store, const store::Fence& fence, store::OrderId) {
         std::ignore = store::explain_wait(store.database, fence, why);
       }},
      {"drop_cancelled", [](Store& store, const store::Fence& fence,
                            store::OrderId) { std::ignore = store::drop_cancelled(store.database, fence); }},
      {"open_order",
       [](Store& store, const store::Fence& fence, store::OrderId) {
         const auto account = store::find_or_create_account(store.database, some_owner(), some_key('a'));
         std::ignore = store::open_order(store.database, fence, account.id, {"a.example"}, {});
       }},
      {"record_order",
       [](Store& store, const store::Fence& fence, store::OrderId order) {
         std::ignore = store::record_order(store.database, fence,
                                           Store::order_record(order, "https://ca.example/other"));
       }},
      {"record_authorizations",
       [](Store& store, const store::Fence& fence, store::OrderId) {
         store::record_authorizations(store.database, fence, {});
       }},
      {"begin_finalize", [](Store& store, const store::Fence& fence,
                            store::OrderId order) { store::begin_finalize(store.database, fence, order); }},
      {"close_order",
       [=](Store& store, const store::Fence& fence, store::OrderId order) {
         store::close_order(store.database, fence, order, OrderStatus::lost, why);
       }},
      {"wait_for_order",
       [=](Store& store, const store::Fence& fence, store::OrderId order) {
         const std::string url = store.sql.value("SELECT url FROM csrq.acme_order WHERE id = " +
                                                 std::to_string(store::number(order)));
         std::ignore = store::wait_for_order(store.database, fence, url, why);
       }},
      {"before_order",
       [](Store& store, const store::Fence& fence, store::OrderId) {
         std::ignore = store::before_order(
             store.database, fence,
             {.names = {"a.example"}, .demand_sha256 = std::string(32, 'd'), .may_fall_back = false});
       }},
  };
}

/// Tables of which a transaction that stays open keeps rows from being written, by name.
std::string locked_tables(Store& store) {
  std::istringstream tables(
      store.sql.value("SELECT string_agg(c.relname, ' ' ORDER BY c.relname) FROM pg_class c "
                      "WHERE c.relnamespace = 'csrq'::regnamespace AND c.relkind IN ('r', 'p')"));
  std::string locked;
  for (std::string table; tables >> table;) {
    const std::string free = "(SELECT FROM csrq." + table + " FOR NO KEY UPDATE SKIP LOCKED) free";
    if (store.count(table) != store.sql.value("SELECT count(*) FROM " + free))
      locked += (locked.empty() ? "" : " ") + table;
  }
  return locked;
}

/// Two rows of acme with one authorization at the CA; the first has an open order and waits in the queue.
void submit_sharers_of_an_authorization(Store& store) {
  store.submit();
  store.submit();
  const auto second = store.claim_one();
  const auto first = store.claim_one();
  const auto account = store::find_or_create_account(store.database, some_owner(), some_key('a'));
  for (const auto& claim : {first, second}) {
    const auto order = store::open_order(store.database, claim.fence, account.id, {"a.example"}, {}).order;
    auto record = Store::order_record(order.value().id,
                                      "https://ca.example/" + std::to_string(store::number(order->id)));
    record.authorizations = {"https://ca.example/authorization"};
    REQUIRE(store::record_order(store.database, claim.fence, record));
  }
  store.sql.run(
      "INSERT INTO csrq.acme_challenge (authorization_id, type, url, token, status, key_authorization, "
      "presented_at) "
      "SELECT id, 'http-01', url || '/challenge', 'token', 'pending', 'token.thumbprint', now() "
      "FROM csrq.acme_authorization");
  REQUIRE(store::put_off(store.database, first.fence, {}, nullptr));
}

}  // namespace

TEST_CASE("an app that calls csrq locks its requests, their jobs and renewals, and nothing else") {
  Store store;
  OpenTransaction app(store);
  SUBCASE("cancel of a row with an order") {
    submit_sharers_of_an_authorization(store);
    app.run("SELECT csrq.cancel(request_id) FROM csrq.job WHERE status = 'ready'");
    CHECK(locked_tables(store) == "job request");
  }
  SUBCASE("cancel of a row that a worker has") {
    submit_sharers_of_an_authorization(store);
    app.run("SELECT csrq.cancel(request_id) FROM csrq.job WHERE status = 'leased'");
    CHECK(locked_tables(store) == "job request");
  }
  SUBCASE("retry") {
    submit_sharers_of_an_authorization(store);
    store.sql.run("UPDATE csrq.job SET run_at = now() + interval '1 hour'");
    app.run("SELECT csrq.retry(id => request_id) FROM csrq.job");
    CHECK(locked_tables(store) == "job");
  }
  SUBCASE("cancel, renew and revoke of an issued row") {
    for (const char* serial : {"01", "02", "03"}) {
      store.submit();
      store.issue_next(serial);
    }
    app.run("SELECT csrq.cancel(1), csrq.renew(2), csrq.revoke(3, 0)");
    CHECK(locked_tables(store) == "renewal request");
  }
}

TEST_CASE("an order whose row an app has cancelled is closed by a worker") {
  Store store;
  submit_sharers_of_an_authorization(store);
  store.sql.run("SELECT csrq.cancel(request_id) FROM csrq.job WHERE status = 'ready'");
  CHECK(store.count("acme_order WHERE closed_at IS NULL") == "2");
  CHECK(store::carry_out_wishes(store.database) == 1);
  CHECK(store.count("acme_order WHERE closed_at IS NULL") == "1");
}

TEST_CASE("a write for a row that somebody has locked waits for nobody, and writes nothing") {
  Store store;
  store.submit();
  const auto claim = store.claim_one();
  const auto order = store.ready_order(claim.fence);
  const auto state = [&] {
    return store.sql.value(
        "SELECT md5(string_agg(t::text, '/')) FROM (SELECT j::text FROM csrq.job j UNION ALL "
        "SELECT o::text FROM csrq.acme_order o UNION ALL SELECT r::text FROM csrq.request r UNION ALL "
        "SELECT count(*)::text FROM csrq.event) t");
  };
  const std::string before = state();
  for (const char* lock : {"SELECT FROM csrq.job FOR UPDATE", "SELECT FROM csrq.request FOR UPDATE"}) {
    OpenTransaction somebody(store);
    somebody.run(lock);
    for (const auto& [name, write] : writes()) {
      CAPTURE(lock);
      CAPTURE(name);
      CHECK_THROWS_AS(write(store, claim.fence, order), store::RowLocked);
      CHECK(state() == before);
    }
    somebody.abort();
  }
  CHECK(store::complete(store.database, claim.fence, Store::issued(order, "01")));
}

TEST_CASE("a lease whose row is locked does not run out, however long that is") {
  Store store;
  const auto id = store.submit();
  const auto claim = store.claim_one();
  OpenTransaction app(store);
  store.sql.run("UPDATE csrq.job SET lease_until = now() - interval '1 hour'");
  app.run("SELECT csrq.cancel(request_id)" + job_of(id));
  CHECK(store::heartbeat(store.database, store.worker, {claim.fence}, lease).empty());
  app.abort();
  CHECK(store::rescue(store.database) == 0);
  CHECK(store::heartbeat(store.database, store.worker, {claim.fence}, lease).empty());
  CHECK(store.job(id, "lease_until > now()") == "t");
  CHECK(store.sql.value("SELECT locked_leases = '{}' FROM csrq.worker") == "t");
}

TEST_CASE("a lease that ran out, and that its worker does not hold any more, is rescued") {
  Store store;
  store.submit();
  store.claim_one();
  store.sql.run("UPDATE csrq.job SET lease_until = now() - interval '1 hour'");
  CHECK(store::heartbeat(store.database, store.worker, {}, lease).empty());
  CHECK(store::rescue(store.database) == 1);
}

TEST_CASE(
    "of a worker's locked rows those that are free again are given back, uncounted, and cancelled ones "
    "dropped") {
  Store store;
  for (int i = 0; i < 4; ++i) store.submit();
  const auto locked = store.claim_one();
  const auto free = store.claim_one();
  const auto lost = store.claim_one();
  const auto cancelled = store.claim_one();
  store.sql.run("DELETE" + job_of(lost.fence.request));
  store::cancel(store.database, cancelled.fence.request);
  OpenTransaction app(store);
  app.run("SELECT" + job_of(locked.fence.request) + " FOR UPDATE");
  const std::vector all{locked.fence, free.fence, lost.fence, cancelled.fence};
  CHECK(store::give_back_unlocked(store.database, store.worker, all) ==
        std::vector{free.fence, lost.fence, cancelled.fence});
  CHECK(store.job(locked.fence.request, "status") == "leased");
  CHECK(store.job(free.fence.request, "status || attempt") == "ready0");
  CHECK(store.job(cancelled.fence.request, "status") == "");
}

TEST_CASE("an administrator's cancel, renew and revoke wait for nobody, and are done when the row is free") {
  Store store;
  store.submit();
  const auto id = store.issue_next("01");
  const std::string number = std::to_string(store::number(id));
  OpenTransaction app(store);
  app.run("SELECT FROM csrq.request FOR UPDATE");
  SUBCASE("cancel") {
    CHECK(store.sql.value("SELECT csrq.cancel(" + number + ")").starts_with("will be cancelled"));
    CHECK(store::carry_out_wishes(store.database) == 0);
    app.abort();
    CHECK(store::carry_out_wishes(store.database) == 1);
    CHECK(store.request(id, "status") == "cancelled");
  }
  SUBCASE("renew") {
    CHECK(store.sql.value("SELECT csrq.renew(" + number + ")") == "t");
    CHECK(store::carry_out_wishes(store.database) == 0);
    app.abort();
    CHECK(store::carry_out_wishes(store.database) == 1);
    CHECK(store.job(id, "kind") == "renew");
  }
  SUBCASE("revoke") {
    CHECK(store.sql.value("SELECT csrq.revoke(" + number + ", 4)") == "t");
    CHECK(store::carry_out_wishes(store.database) == 0);
    app.abort();
    CHECK(store::carry_out_wishes(store.database) == 1);
    CHECK(store.job(id, "kind || revoke_reason") == "revoke4");
  }
  CHECK(store.sql.value("SELECT count(*) FROM csrq.wish") == "0");
  CHECK(store.sql.value("SELECT detail ->> 'by' = session_user FROM csrq.event ORDER BY id DESC LIMIT 1") ==
        "t");
}

TEST_CASE("an app's open transactions neither keep an administrator from cancelling a row nor undo it") {
  Store store;
  const auto id = store.submit();
  const std::string cancel = "SELECT csrq.cancel(" + std::to_string(store::number(id)) + ")";
  OpenTransaction app(store);
  app.run(cancel);
  OpenTransaction same_app(store);
  same_app.run(cancel);
  CHECK(store.sql.value(cancel).starts_with("will be cancelled"));
  OpenTransaction once_more(store);
  once_more.run(cancel);
  app.abort();
  CHECK(store::claim(store.database, store.worker, 10, lease).empty());
  CHECK(store.request(id, "status") == "cancelled");
}

TEST_CASE("what one customer wishes for its locked rows delays no other customer's wishes") {
  Store store;
  store::Submission submission;
  submission.customer = "bob";
  for (int i = 0; i < 60; ++i) store.submit(submission);
  const auto id = store.submit();
  OpenTransaction app(store);
  app.run("SELECT FROM csrq.job FOR UPDATE");
  store.sql.run("SELECT csrq.wish(id, 'cancel', 'bob') FROM csrq.request WHERE customer = 'bob'");
  store::cancel(store.database, id);
  app.abort();
  OpenTransaction bob(store);
  bob.run("SELECT FROM csrq.job WHERE customer = 'bob' FOR UPDATE");
  CHECK(store::carry_out_wishes(store.database) == 1);
  CHECK(store.request(id, "status") == "cancelled");
}

TEST_CASE("a wish of a row that is gone harms nobody") {
  Store store;
  const auto gone = store.submit();
  const auto other = store.submit();
  store.sql.run("SELECT csrq.wish(1, 'renew', 'acme'), csrq.wish(1, 'cancel', 'acme')");
  store.sql.run("DELETE FROM csrq.request WHERE id = " + std::to_string(store::number(gone)));
  CHECK(store.claim_one().fence.request == other);
  CHECK(store.count("wish") == "0");
}

TEST_CASE("what is to be cancelled when its lock is gone is not claimed before") {
  Store store;
  const auto id = store.submit();
  OpenTransaction app(store);
  app.run("SELECT" + job_of(id) + " FOR UPDATE");
  store::cancel(store.database, id);
  app.abort();
  CHECK(store::claim(store.database, store.worker, 10, lease).empty());
  CHECK(store.request(id, "status") == "cancelled");
}

TEST_CASE("a wish that cannot be fulfilled any more is told of, and gone") {
  Store store;
  store.submit();
  const auto id = store.issue_next("01");
  OpenTransaction app(store);
  app.run("SELECT csrq.cancel(" + std::to_string(store::number(id)) + ")");
  store.sql.run("SELECT csrq.renew(" + std::to_string(store::number(id)) + ")");
  app.commit();
  CHECK(store::carry_out_wishes(store.database) == 1);
  CHECK(store.sql.value("SELECT count(*) FROM csrq.wish") == "0");
  CHECK(store.sql.value("SELECT detail ->> 'detail' FROM csrq.event WHERE what = 'warning'")
            .find("only an issued one can be renewed") != std::string::npos);
}

TEST_CASE("a row that replaces a locked one is issued, and the other ends when it is free") {
  Store store;
  store.submit();
  const auto former = store.issue_next("01");
  store::Submission submission;
  submission.replaces = former;
  const auto id = store.submit(submission);
  OpenTransaction app(store);
  app.run("SELECT FROM csrq.request WHERE id = " + std::to_string(store::number(former)) + " FOR UPDATE");
  store.issue_next("02");
  CHECK(store.request(id, "status") == "issued");
  CHECK(store.request(former, "auto_renew") == "t");
  app.abort();
  CHECK(store::carry_out_wishes(store.database) == 1);
  CHECK(store.request(former, "auto_renew") == "f");
}

TEST_CASE("a row that is cancelled takes over nobody's renewals afterwards") {
  Store store;
  for (const char* serial : {"01", "02"}) {
    store.submit();
    store.issue_next(serial);
  }
  store.sql.run("UPDATE csrq.request SET demand_sha256 = sha256('d'), serial = '01'");
  store.sql.run("SELECT csrq.wish(1, 'end_sharers', 'csrq')");
  store.sql.run("SELECT csrq.cancel(1)");
  store::carry_out_wishes(store.database);
  CHECK(store.count("wish") == "0");
  CHECK(store.request(store::RequestId{2}, "auto_renew") == "t");
}

TEST_CASE("a renewal whose job somebody has locked keeps back no other customer's renewals") {
  Store store;
  store.submit();
  const auto locked = store.issue_next("01");
  store.sql.run("SELECT csrq.revoke(1, 0)");
  const auto revocation = store.claim_one();
  REQUIRE(store::record_failure(store.database, revocation.fence, some_failure(FailureClass::permanent),
                                schedule));
  store.submit();
  const auto other = store.issue_next("02");
  store.sql.run("UPDATE csrq.renewal SET renew_at = now() - request_id * interval '1 s'");
  REQUIRE(store.count("renewal") == "2");
  OpenTransaction app(store);
  app.run("SELECT csrq.retry(id => 1)");
  CHECK(store::renew_due(store.database, 1) == 1);
  CHECK(store.job(other, "kind") == "renew");
  CHECK(store::renew_due(store.database, 1) == 0);
  app.abort();
  CHECK(store::renew_due(store.database, 1) == 1);
  CHECK(store.job(locked, "kind || status") == "renewready");
}

TEST_CASE("however many due renewals somebody has locked, another customer's are queued") {
  Store store;
  store.sql.run(R"sql(
      BEGIN; SET LOCAL session_replication_role = replica;
      INSERT INTO csrq.request (customer, csr, created_by) OVERRIDING SYSTEM VALUE
          SELECT 'acme', 'x', 'x' FROM generate_series(1, 20001);
      INSERT INTO csrq.renewal (request_id, renew_at) SELECT id, now() - interval '1 day' FROM csrq.request;
      COMMIT)sql");
  OpenTransaction app(store);
  app.run("SELECT FROM csrq.renewal FOR UPDATE");
  const auto id = store.submit();
  store.issue_next("01");
  store.sql.run("UPDATE csrq.renewal SET renew_at = now() WHERE request_id = " +
                std::to_string(store::number(id)));
  CHECK(store::renew_due(store.database, 100) == 1);
}

TEST_CASE("however many wakeups one customer makes, another's row is claimed at once") {
  Store store;
  for (int seconds = 0; seconds < 150; ++seconds)
    store.sql.run(
        "INSERT INTO csrq.request (customer, csr, run_after) VALUES ('bob', 'x', now() + interval '1 hour' "
        "- " +
        std::to_string(seconds) + " * interval '1 second')");
  REQUIRE(store.count("wakeup") == "150");
  const auto id = store.submit();
  store.sql.run("UPDATE csrq.job SET run_at = run_at - interval '1 day'");
  store.sql.run("UPDATE csrq.wakeup SET run_at = run_at - interval '1 day'");
  std::set<store::RequestId> claimed;
  for (int i = 0; i < 2; ++i) claimed.insert(store.claim_one().fence.request);
  CHECK(claimed.contains(id));
}

TEST_CASE("rows that somebody has locked take no room of an account that others share") {
  Store store;
  for (const char* customer : {"bob", "carol"}) {
    store::Submission submission;
    submission.customer = customer;
    for (int i = 0; i < 8; ++i) store.submit(submission);
  }
  const auto claim = [&] {
    return store::claim(store.database, store.worker, 16, lease,
                        {.policy = AccountPolicy::shared, .most_per_account = 8});
  };
  std::vector<store::Fence> held;
  for (auto claims = claim(); !claims.empty(); claims = claim())
    for (const auto& one : claims) held.push_back(one.fence);
  const auto id = store.submit();
  REQUIRE(claim().empty());
  OpenTransaction app(store);
  app.run("SELECT csrq.cancel(request_id) FROM csrq.job WHERE status = 'leased'");
  CHECK(store::give_back_unlocked(store.database, store.worker, held).empty());
  bool is_claimed = false;
  for (const auto& one : claim()) is_claimed = is_claimed || one.fence.request == id;
  CHECK(is_claimed);
}

TEST_CASE("a row that a worker has already opens no order once its customer is suspended") {
  Store store;
  const auto id = store.submit();
  const auto fence = store.claim_one().fence;
  store.sql.run("SELECT csrq.suspend('acme')");
  const auto account = store::find_or_create_account(store.database, some_owner(), some_key('a'));
  const auto opened = store::open_order(store.database, fence, account.id, {"a.example"}, {});
  REQUIRE(opened.not_yet);
  CHECK(opened.not_yet->code == "suspended");
  REQUIRE(store::put_off(store.database, fence, opened.not_yet->wait, nullptr));
  CHECK(store.job(id, "parked_because") == "suspended");
}

TEST_CASE("a suspension holds at once, whoever has rows locked or inserts them at that moment") {
  Store store;
  const auto locked = store.submit();
  store.submit();
  OpenTransaction inserting(store);
  inserting.run("INSERT INTO csrq.request (customer, csr) VALUES ('acme', '" + some_csr + "')");
  OpenTransaction app(store);
  app.run("SELECT" + job_of(locked) + " FOR UPDATE");
  CHECK(store.sql.value("SELECT csrq.suspend('acme')") == "1");
  inserting.commit();
  app.abort();
  CHECK(store::claim(store.database, store.worker, 10, lease).empty());
  store::follow_suspensions(store.database);
  CHECK(store.sql.value("SELECT count(*) FROM csrq.job WHERE parked_because = 'suspended'") == "3");
}

TEST_CASE("a suspended customer's row with an open order is not claimed either") {
  Store store;
  store.submit();
  const auto claim = store.claim_one();
  store.ready_order(claim.fence);
  store.sql.run("SELECT csrq.suspend('acme')");
  REQUIRE(store::put_off(store.database, claim.fence, {}, nullptr));
  store.sql.run("UPDATE csrq.job SET status = 'ready', parked_because = NULL");
  CHECK(store::claim(store.database, store.worker, 10, lease).empty());
}

TEST_CASE("a resumed customer goes on, whoever had rows locked or inserted them at that moment") {
  Store store;
  const auto locked = store.submit();
  store.submit();
  store.sql.run("SELECT csrq.suspend('acme')");
  OpenTransaction inserting(store);
  inserting.run("INSERT INTO csrq.request (customer, csr) VALUES ('acme', '" + some_csr + "')");
  OpenTransaction app(store);
  app.run("SELECT" + job_of(locked) + " FOR UPDATE");
  CHECK(store.sql.value("SELECT csrq.resume('acme')") == "1");
  inserting.commit();
  app.abort();
  store::follow_suspensions(store.database);
  CHECK(store::claim(store.database, store.worker, 10, lease).size() == 3);
}

TEST_CASE("a locked row of a suspended customer keeps back neither rescue nor renewals of others") {
  Store store;
  store.submit();
  const auto renewed = store.issue_next("01");
  store.sql.run("UPDATE csrq.renewal SET renew_at = now()");
  store::Submission submission;
  submission.customer = "bob";
  const auto bobs = store.submit(submission);
  OpenTransaction app(store);
  app.run("SELECT" + job_of(bobs) + " FOR UPDATE");
  store.sql.run("SELECT csrq.suspend('bob')");
  CHECK(store::rescue(store.database) == 0);
  store::follow_suspensions(store.database);
  CHECK(store::renew_due(store.database, 10) == 1);
  CHECK(store.job(renewed, "status") == "ready");
}

TEST_CASE("a retry of a row whose worker is writing at this moment waits for that") {
  Store store;
  const auto id = store.submit();
  store.claim_one();
  OpenTransaction worker(store);
  worker.run("SELECT FROM csrq.job FOR UPDATE");
  auto retried = std::async(std::launch::async, [&] { return store::retry(store.database, {.id = id}); });
  while (store.sql.value("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND "
                         "wait_event_type = 'Lock'") == "0") {
    std::this_thread::yield();
  }
  worker.commit();
  CHECK(retried.get() == 1);
  CHECK(store.job(id, "retry_requested") == "t");
}

TEST_CASE("a retry of a row that somebody else keeps locked gives up soon") {
  Store store;
  const auto id = store.submit();
  store.claim_one();
  OpenTransaction other(store);
  other.run("SELECT FROM csrq.job FOR UPDATE");
  CHECK(store::retry(store.database, {.id = id}) == 0);
}

TEST_CASE("no retry touches rows of other customers") {
  Store store;
  store::Submission submission;
  submission.customer = "bob";
  const auto bobs = store.submit(submission);
  store.sql.run("SELECT csrq.suspend('bob')");
  store.sql.run("UPDATE csrq.job SET status = 'ready', parked_because = NULL");
  store.submit();
  OpenTransaction app(store);
  app.run("SELECT csrq.retry(customer => 'acme')");
  CHECK(store.sql.value("SELECT count(*) FROM (SELECT" + job_of(bobs) + " FOR UPDATE SKIP LOCKED) free") ==
        "1");
}

TEST_CASE(
    "nobody waits, and nobody is kept waiting, where somebody reads events and a month is to be made or "
    "dropped") {
  Store store;
  const std::string next_month = store.sql.value(
      "SELECT to_char(now() AT TIME ZONE 'UTC' + interval '1 month', '\"csrq.event_\"YYYY_MM')");
  store.sql.run("DROP TABLE " + next_month);
  store.sql.run(
      "CREATE TABLE csrq.event_2001_01 PARTITION OF csrq.event FOR VALUES FROM ('2001-01-01') TO "
      "('2001-02-01')");
  OpenTransaction app(store);
  app.run("SELECT count(*) FROM csrq.events_since('1:1:')");
  store::tidy(store.database);
  store.sql.run("SELECT csrq.prune('30 days')");
  CHECK(store.sql.value("SELECT to_regclass('" + next_month + "')") == "");
  CHECK(store.sql.value("SELECT to_regclass('csrq.event_2001_01')") != "");
  app.abort();
  store::tidy(store.database);
  store.sql.run("SELECT csrq.prune('30 days')");
  CHECK(store.sql.value("SELECT to_regclass('" + next_month + "')") != "");
  CHECK(store.sql.value("SELECT to_regclass('csrq.event_2001_01')") == "");
}
