#include "store/janitor.hpp"

#include <doctest/doctest.h>

#include "db/store_fixture.hpp"

using namespace csrq;
using namespace csrq::test;

namespace {

constexpr const char* directory = "https://ca.example/dir";

/// A store at whose CA rows leave pending authorizations behind.
struct Ledger : Store {
  explicit Ledger(AbandonedPolicy policy = AbandonedPolicy::deactivate, int per_hour = 2) {
    store::set_ca_policies(
        database,
        {{.ca = "ca", .directory = directory, .abandoned = policy, .deactivate_per_hour = per_hour}});
  }

  /// A claimed row with an open order and one pending authorization for `name`.
  store::Claim order(const std::string& name, const std::string& customer = "acme") {
    submit({.customer = customer});
    store::Claim claim = claim_one();
    account = store::find_or_create_account(database, some_owner(), some_key('a')).id;
    const auto opened = store::open_order(database, claim.fence, account, {name}, {});
    order_id = opened.order.value().id;
    const std::string url = "https://ca.example/order/" + std::to_string(store::number(order_id));
    authorization_url = url + "/authorization";
    store::OrderRecord record = order_record(order_id, url);
    record.status = OrderStatus::pending;
    REQUIRE(store::record_order(database, claim.fence, record));
    store::record_authorizations(
        database, claim.fence,
        {{.url = authorization_url,
          .identifier = name,
          .status = AuthorizationStatus::pending,
          .expires = now() + std::chrono::hours(1),
          .challenge = store::ChallengeRecord{.type = "http-01",
                                              .url = url + "/challenge",
                                              .token = "token" + std::to_string(store::number(order_id)),
                                              .status = ChallengeStatus::pending,
                                              .key_authorization = "x"}}});
    return claim;
  }

  void abandon(const store::Claim& claim) {
    store::cancel(database, claim.fence.request), std::ignore = store::drop_cancelled(database, claim.fence);
  }

  std::vector<store::AuthorizationToSettle> due(const std::string& customer = {}) {
    return store::claim_to_settle(database,
                                  {.directories = {directory}, .customer = customer, .valid = false}, 100);
  }

  std::string disposition() {
    return sql.value("SELECT disposition FROM csrq.pending_authorizations ORDER BY id DESC LIMIT 1");
  }
  std::string status() {
    return sql.value("SELECT status FROM csrq.acme_authorization ORDER BY id DESC LIMIT 1");
  }
  void hour_passes() {
    sql.run("UPDATE csrq.acme_authorization SET deactivation_at = deactivation_at - interval '61 minutes'");
  }

  store::AccountId account{};
  store::OrderId order_id{};
  std::string authorization_url{};
};

}  // namespace

TEST_CASE("an authorization that an open order needs is left alone") {
  Ledger ledger;
  ledger.order("a.example");
  CHECK(ledger.due().empty());
  CHECK(ledger.disposition() == "an open order goes on with it");
  CHECK(ledger.sql.value("SELECT needed_by::text FROM csrq.pending_authorizations") == "{1}");
}

TEST_CASE("the pending authorization of a cancelled row is deactivated, once") {
  Ledger ledger;
  ledger.abandon(ledger.order("a.example"));
  CHECK(ledger.disposition() == "to be deactivated");
  const auto due = ledger.due();
  REQUIRE(due.size() == 1);
  CHECK(due[0].url == ledger.authorization_url);
  CHECK(due[0].identifier == "a.example");
  CHECK(due[0].owner == some_owner());
  CHECK(ledger.due().empty());
  CHECK(ledger.disposition() == "its deactivation is under way");
  store::settled(ledger.database, due[0].id, {.status = AuthorizationStatus::deactivated});
  CHECK(ledger.status() == "deactivated");
  CHECK(ledger.sql.value("SELECT what FROM csrq.event WHERE what LIKE 'authorization%'") ==
        "authorization_deactivated");
  ledger.hour_passes();
  CHECK(ledger.due().empty());
}

TEST_CASE("an authorization that two orders share is abandoned only when neither is open") {
  Ledger ledger;
  const auto first = ledger.order("a.example");
  const std::string shared = ledger.authorization_url;
  const auto second = ledger.order("a.example", "other");
  ledger.sql.run("INSERT INTO csrq.acme_order_authorization SELECT " +
                 std::to_string(store::number(ledger.order_id)) +
                 ", id FROM csrq.acme_authorization WHERE url = '" + shared + "'");
  ledger.abandon(first);
  CHECK(ledger.due().empty());
  ledger.abandon(second);
  CHECK(ledger.due().size() == 2);
}

TEST_CASE("deactivations of one identifier keep to the hourly budget, those of others are not held up") {
  Ledger ledger;
  for (int i = 0; i < 3; ++i) ledger.abandon(ledger.order("a.example"));
  ledger.abandon(ledger.order("b.example"));
  CHECK(ledger.due().size() == 3);
  CHECK(ledger.sql.value("SELECT disposition FROM csrq.pending_authorizations WHERE identifier = 'a.example' "
                         "ORDER BY id DESC LIMIT 1") == "to be deactivated when the hourly budget allows it");
  CHECK(ledger.sql.value(
            "SELECT disposition_at - now() BETWEEN interval '59 minutes' AND interval '61 minutes' FROM "
            "csrq.pending_authorizations WHERE identifier = 'a.example' ORDER BY id DESC LIMIT 1") == "t");
  ledger.sql.run(
      "UPDATE csrq.acme_authorization SET status = 'deactivated' WHERE deactivation_at IS NOT NULL");
  CHECK(ledger.due().empty());
  ledger.hour_passes();
  CHECK(ledger.due().size() == 1);
}

TEST_CASE("where the policy is to let them expire, or no worker has said anything, nothing is deactivated") {
  Ledger ledger(AbandonedPolicy::expire);
  ledger.abandon(ledger.order("a.example"));
  CHECK(ledger.due().empty());
  CHECK(ledger.disposition() == "left to expire");
  CHECK(ledger.sql.value("SELECT disposition_at = expires_at FROM csrq.pending_authorizations") == "t");
  ledger.sql.run("DELETE FROM csrq.ca_policy");
  CHECK(ledger.due().empty());
}

TEST_CASE("a crash between the intent and the CA's answer leaves the deactivation to be tried again later") {
  Ledger ledger;
  ledger.abandon(ledger.order("a.example"));
  REQUIRE(ledger.due().size() == 1);
  ledger.sql.run(
      "UPDATE csrq.acme_authorization SET deactivation_at = now() - interval '5 minutes 1 second'");
  CHECK(ledger.due().size() == 1);
}

TEST_CASE(
    "a refused deactivation is written down and not repeated; one that may pass is tried three times in "
    "all") {
  Ledger ledger;
  ledger.abandon(ledger.order("a.example"));
  const auto refused = ledger.due();
  store::settled(ledger.database, refused.at(0).id, {.failure = some_failure(FailureClass::permanent)});
  CHECK(ledger.disposition() == "left to expire: the CA did not deactivate it");
  CHECK(ledger.sql.value("SELECT what FROM csrq.event WHERE what LIKE 'authorization%'") ==
        "authorization_left");
  ledger.hour_passes();
  CHECK(ledger.due().empty());

  ledger.abandon(ledger.order("b.example"));
  for (int tries = 0; tries < 3; ++tries) {
    const auto due = ledger.due();
    REQUIRE(due.size() == 1);
    store::settled(ledger.database, due[0].id,
                   {.failure = some_failure(FailureClass::transient), .again = true});
    ledger.hour_passes();
  }
  CHECK(ledger.due().empty());
}

TEST_CASE("what a new order may be handed is left alone until newOrder is answered") {
  Ledger ledger;
  ledger.abandon(ledger.order("a.example"));
  ledger.submit();
  const auto claim = ledger.claim_one();
  REQUIRE(store::open_order(ledger.database, claim.fence, ledger.account, {"a.example"}, {}).order);
  CHECK(ledger.due().empty());
}

TEST_CASE("a new order waits while an authorization for its name is being deactivated") {
  Ledger ledger;
  ledger.abandon(ledger.order("a.example"));
  REQUIRE(ledger.due().size() == 1);
  ledger.submit();
  const auto claim = ledger.claim_one();
  CHECK(store::open_order(ledger.database, claim.fence, ledger.account, {"a.example"}, {}).not_yet);
  CHECK(store::open_order(ledger.database, claim.fence, ledger.account, {"b.example"}, {}).order);
}

TEST_CASE(
    "an authorization that is found valid, or over, holds back no order and spends nothing of the budget") {
  for (const AuthorizationStatus found : {AuthorizationStatus::valid, AuthorizationStatus::expired}) {
    Ledger ledger(AbandonedPolicy::deactivate, 1);
    ledger.abandon(ledger.order("a.example"));
    const auto due = ledger.due();
    REQUIRE(due.size() == 1);
    REQUIRE(store::begin_settling(ledger.database, due[0].id));
    store::settled(ledger.database, due[0].id, {.status = found});
    CHECK(ledger.status() == to_string(found));
    ledger.abandon(ledger.order("a.example"));
    CHECK(ledger.due().size() == 1);
  }
}

TEST_CASE(
    "an authorization that an order needs by the time it is to be deactivated holds back no other order") {
  Ledger ledger;
  ledger.abandon(ledger.order("a.example"));
  const auto due = ledger.due();
  REQUIRE(due.size() == 1);
  ledger.sql.run("UPDATE csrq.acme_order SET closed_at = NULL");
  CHECK_FALSE(store::begin_settling(ledger.database, due[0].id));
  ledger.submit();
  const auto claim = ledger.claim_one();
  CHECK(store::open_order(ledger.database, claim.fence, ledger.account, {"a.example"}, {}).order);
}

TEST_CASE(
    "the valid authorizations of a customer that leaves are deactivated, nobody else's, and none that is in "
    "use") {
  Ledger ledger;
  ledger.abandon(ledger.order("a.example", "leaver"));
  ledger.abandon(ledger.order("b.example", "stayer"));
  ledger.order("c.example", "leaver");
  ledger.sql.run("UPDATE csrq.acme_authorization SET status = 'valid'");
  const auto due = store::claim_to_settle(
      ledger.database, {.directories = {directory}, .customer = "leaver", .valid = true}, 100);
  REQUIRE(due.size() == 1);
  CHECK(due[0].identifier == "a.example");
}

TEST_CASE(
    "an order that expired while its row waited is closed, its response taken away, its authorization "
    "written off") {
  Ledger ledger;
  const auto claim = ledger.order("a.example");
  ledger.sql.run("UPDATE csrq.acme_order SET expires_at = now() - interval '6 minutes'");
  ledger.sql.run("UPDATE csrq.acme_authorization SET expires_at = now() - interval '6 minutes'");
  CHECK(store::tidy(ledger.database) == 0);  // a worker has it
  REQUIRE(
      store::record_failure(ledger.database, claim.fence, some_failure(FailureClass::transient), schedule));
  CHECK(store::tidy(ledger.database) == 1);
  CHECK(ledger.sql.value("SELECT status || ' ' || (closed_at IS NOT NULL) FROM csrq.acme_order") ==
        "invalid true");
  CHECK(ledger.status() == "expired");
  CHECK(ledger.sql.value("SELECT key_authorization IS NULL FROM csrq.acme_challenge") == "t");
}

TEST_CASE(
    "the order of a row that is parked after five rescues is closed, so that nothing of it is left at the "
    "CA") {
  Ledger ledger;
  auto claim = ledger.order("a.example");
  for (int deaths = 1;; ++deaths) {
    ledger.worker_dies();
    REQUIRE(store::rescue(ledger.database) == 1);
    if (deaths == 5) break;
    ledger.sql.run("UPDATE csrq.worker SET heartbeat_at = now()");
    claim = ledger.claim_one();
  }
  CHECK(ledger.job(claim.fence.request, "parked_because") == "rescued");
  CHECK(ledger.disposition() == "an open order goes on with it");
}

TEST_CASE("an order that its worker learns of after the lease was lost is written down, closed") {
  Ledger ledger;
  const auto claim = ledger.order("a.example");
  ledger.worker_dies();
  REQUIRE(store::rescue(ledger.database) == 1);
  auto late = Store::order_record(ledger.order_id, "https://ca.example/order/late");
  late.status = OrderStatus::pending;
  CHECK_THROWS_AS(std::ignore = store::record_order(ledger.database, claim.fence, late), store::LeaseLost);
  CHECK(ledger.sql.value(
            "SELECT status || ' ' || (closed_at IS NOT NULL) FROM csrq.acme_order WHERE url LIKE '%late'") ==
        "pending true");
  CHECK(ledger.sql.value(
            "SELECT disposition FROM csrq.pending_authorizations WHERE url LIKE '%late/authorization'") ==
        "to be deactivated");
}

TEST_CASE(
    "a certificate that was issued while its row was cancelled is kept in the history, and the row stays "
    "cancelled") {
  Store store;
  const auto id = store.submit();
  const auto claim = store.claim_one();
  const auto order = store.ready_order(claim.fence);
  store::cancel(store.database, id);
  CHECK_FALSE(store::complete(store.database, claim.fence, Store::issued(order, "0c")));
  CHECK(store.request(id, "status || (chain IS NULL)") == "cancelledtrue");
  CHECK(store.sql.value("SELECT serial FROM csrq.certificate") == "0c");
  CHECK(store.count("job") == "0");
}

TEST_CASE("the ledger tells which orders of the CA's list it does not have") {
  Ledger ledger;
  ledger.order("a.example");
  const std::string known = ledger.sql.value("SELECT url FROM csrq.acme_order");
  CHECK(store::unknown_orders(ledger.database,
                              {"https://ca.example/order/x", known, "https://ca.example/order/y"}) ==
        std::vector<std::string>{"https://ca.example/order/x", "https://ca.example/order/y"});
}

TEST_CASE("a request's history tells its story in order") {
  Ledger ledger;
  const auto claim = ledger.order("a.example");
  REQUIRE(
      store::record_failure(ledger.database, claim.fence, some_failure(FailureClass::validation), schedule));
  const std::string story = ledger.sql.value("SELECT string_agg(what, ' ') FROM csrq.history(1)");
  CHECK(story == "inserted claimed order_intended authorization_seen response_in_place failed");
  CHECK(ledger.sql.value("SELECT worker FROM csrq.history(1) WHERE what = 'failed'") == "host:1");
  CHECK(ledger.sql.value("SELECT detail -> 'error' ->> 'code' FROM csrq.history(1) WHERE what = 'failed'") ==
        "dns");
}

TEST_CASE("prune removes old history and nothing that is open or in use") {
  Ledger ledger;
  ledger.abandon(ledger.order("old.example"));
  ledger.order("open.example");
  ledger.sql.run("UPDATE csrq.acme_order SET closed_at = closed_at - interval '100 days'");
  ledger.sql.run(
      "UPDATE csrq.acme_authorization SET status = 'deactivated', updated_at = now() - interval '100 days' "
      "WHERE identifier = 'old.example'");
  ledger.sql.run("INSERT INTO csrq.event (at, what) VALUES (now() - interval '100 days', 'retry')");
  for (const auto& [what, removed] : store::prune(ledger.database, std::chrono::hours(24 * 90))) {
    CAPTURE(what);
    const bool has_some = what == "orders" || what == "authorizations" || what == "other events";
    CHECK(removed == (has_some ? 1 : 0));
  }
  CHECK(ledger.sql.value("SELECT count(*) FROM csrq.acme_order") == "1");
  CHECK(ledger.sql.value("SELECT identifier FROM csrq.acme_authorization") == "open.example");
  CHECK_THROWS_AS(store::prune(ledger.database, std::chrono::hours(1)), UsageError);
}

TEST_CASE("prune takes as many transactions as it needs, each with a bounded number of rows") {
  Ledger ledger;
  ledger.sql.run(
      "INSERT INTO csrq.event (at, what) SELECT now() - interval '100 days', 'retry' FROM generate_series(1, "
      "7)");
  CHECK(ledger.sql.value("SELECT removed FROM csrq.prune('90 days', 2) WHERE what = 'other events'") == "2");
  const auto before = ledger.database.statistics().commits;
  CHECK(store::prune(ledger.database, std::chrono::hours(24 * 90), 2).front() ==
        std::pair<std::string, std::int64_t>{"other events", 5});
  CHECK(ledger.database.statistics().commits - before == 3);
  CHECK(ledger.sql.value("SELECT count(*) FROM csrq.event_default") == "0");
}
