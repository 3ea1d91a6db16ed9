#include <doctest/doctest.h>

#include <map>

#include <nlohmann/json.hpp>

#include "db/store_fixture.hpp"

using namespace csrq;
using namespace csrq::test;

namespace {

/// Rows for the same names under one account.
struct NameSets : Store {
  store::Claim submit_and_claim(store::Submission submission = {}) {
    const auto id = submit(std::move(submission));
    make_due(id);
    store::Claim claim = claim_one();
    REQUIRE(claim.fence.request == id);
    return claim;
  }

  void make_due(store::RequestId id) {
    sql.run("UPDATE csrq.job SET run_at = now() - interval '1 hour' WHERE request_id = " +
            std::to_string(store::number(id)));
  }

  store::AccountId account(const std::string& owner = "acme") {
    if (!accounts.contains(owner))
      accounts[owner] =
          store::find_or_create_account(database, some_owner(owner), some_key(owner.front())).id;
    return accounts[owner];
  }

  store::OpenOrderResult open(const store::Claim& claim,
                              const std::vector<std::string>& names = {"a.example", "b.example"},
                              const std::string& owner = "acme") {
    return store::open_order(database, claim.fence, account(owner), names, {});
  }

  void issue(const store::Claim& claim) {
    const auto order = ready_order(claim.fence, {"a.example", "b.example"});
    REQUIRE(store::complete(database, claim.fence, issued(order, "01")));
  }

  /// A row that has failed for the names and backs off for ten minutes.
  store::RequestId failing(store::Submission submission = {},
                           FailureClass failure_class = FailureClass::validation) {
    const auto claim = submit_and_claim(std::move(submission));
    REQUIRE(open(claim).order);
    REQUIRE(store::record_failure(database, claim.fence, some_failure(failure_class),
                                  {std::chrono::minutes(10)}));
    return claim.fence.request;
  }

  /// A row that was cancelled while its order was pending at the CA, under `name`.
  std::string left_behind(const std::string& name = "1", store::Submission submission = {}) {
    const auto claim = submit_and_claim(std::move(submission));
    const auto order = open(claim).order.value();
    const std::string url = "https://ca.example/order/" + name;
    store::OrderRecord record = order_record(order.id, url);
    record.status = OrderStatus::pending;
    record.expires = now() + std::chrono::hours(24);
    REQUIRE(store::record_order(database, claim.fence, record));
    last_left = claim;
    store::cancel(database, claim.fence.request);
    CHECK(store::drop_cancelled(database, claim.fence));
    return url;
  }

  std::map<std::string, store::AccountId> accounts{};
  store::Claim last_left{};
};

}  // namespace

TEST_CASE("a fresh row waits for the next attempt of one that failed for the same names, and says so") {
  NameSets store;
  const auto failed = store.failing();
  const auto fresh = store.submit_and_claim();
  const auto result = store.open(fresh, {"b.example", "a.example"});
  REQUIRE(result.not_yet);
  CHECK_FALSE(result.order);
  CHECK(result.not_yet->code == "recent_failure");
  CHECK(
      result.not_yet->detail.starts_with("request " + std::to_string(store::number(failed)) + " failed for"));
  CHECK(result.not_yet->detail.find("no such name") != std::string::npos);
  CHECK(nlohmann::json::parse(result.not_yet->document).at("other_request") == store::number(failed));
  CHECK(result.not_yet->wait > std::chrono::minutes(9));
  CHECK(result.not_yet->wait < std::chrono::minutes(11));
  CHECK(store.count("acme_order WHERE request_id = " + std::to_string(store::number(fresh.fence.request))) ==
        "0");
}

TEST_CASE("a fresh row waits behind a row that is being tried again at this moment") {
  NameSets store;
  const auto failed = store.failing();
  store.make_due(failed);
  REQUIRE(store.claim_one().fence.request == failed);
  const auto result = store.open(store.submit_and_claim());
  REQUIRE(result.not_yet);
  CHECK(result.not_yet->wait == std::chrono::minutes(1));
}

TEST_CASE("a fresh row does not wait") {
  NameSets store;
  SUBCASE("for other names") {
    store.failing();
    CHECK(store.open(store.submit_and_claim(), {"a.example"}).order);
  }
  SUBCASE("under another account") {
    store.failing();
    CHECK(store.open(store.submit_and_claim(), {"a.example", "b.example"}, "other").order);
  }
  SUBCASE("with another challenge type or profile") {
    store.failing();
    CHECK(store.open(store.submit_and_claim({.challenge = "dns-01"})).order);
    CHECK(store.open(store.submit_and_claim({.profile = "shortlived"})).order);
  }
  SUBCASE("once somebody has asked for it at once") {
    store.failing();
    const auto claim = store.submit_and_claim();
    REQUIRE(store::put_off(store.database, claim.fence, store.open(claim).not_yet.value().wait, nullptr));
    CHECK(store::retry(store.database, {.id = claim.fence.request}) == 1);
    CHECK(store.open(store.claim_one()).order);
  }
  SUBCASE("once the failing one is retried: then both go, and none waits for the other") {
    const auto failed = store.failing();
    CHECK(store::retry(store.database, {.id = failed}) == 1);
    CHECK(store.claim_one().fence.request == failed);
    CHECK(store.open(store.submit_and_claim()).order);
  }
  SUBCASE("once the failing one is cancelled") {
    store::cancel(store.database, store.failing());
    CHECK(store.open(store.submit_and_claim()).order);
    CHECK(store.count("name_set_failure") == "0");
  }
  SUBCASE("once the failing one is issued") {
    const auto failed = store.failing();
    store.make_due(failed);
    store.issue(store.claim_one());
    CHECK(store.open(store.submit_and_claim()).order);
    CHECK(store.count("name_set_failure") == "0");
  }
  SUBCASE("for one that failed for good: its own try tells at once") {
    store.failing({}, FailureClass::permanent);
    CHECK(store.open(store.submit_and_claim()).order);
  }
  SUBCASE("when it has failed itself: two never wait for each other") {
    const auto first = store.submit_and_claim();
    const auto second = store.submit_and_claim();
    for (const auto& claim : {first, second}) REQUIRE(store.open(claim).order);
    for (const auto& claim : {first, second}) {
      REQUIRE(store::record_failure(store.database, claim.fence, some_failure(FailureClass::validation),
                                    schedule));
    }
    store.make_due(first.fence.request);
    CHECK(store.open(store.claim_one()).order);
    store.make_due(second.fence.request);
    CHECK(store.open(store.claim_one()).order);
  }
  SUBCASE("for more than a day, whatever the other one does") {
    store.failing();
    const auto claim = store.submit_and_claim();
    store.sql.run("UPDATE csrq.job SET created_at = now() - interval '25 hours' WHERE request_id = " +
                  std::to_string(store::number(claim.fence.request)));
    CHECK(store.open(claim).order);
  }
  SUBCASE("for one that failed long ago") {
    store.failing();
    store.sql.run("UPDATE csrq.name_set_failure SET failed_at = now() - interval '2 days'");
    CHECK(store.open(store.submit_and_claim()).order);
  }
}

TEST_CASE("on a shared account nobody waits for the failing request of another customer") {
  NameSets store;
  store.failing({.customer = "other"});
  CHECK(store.open(store.submit_and_claim()).order);
}

TEST_CASE("a renewal does not wait for a failing row of the same names") {
  NameSets store;
  const auto first = store.submit_and_claim();
  store.issue(first);
  store.failing();
  CHECK(store::renew(store.database, first.fence.request));
  CHECK(store.open(store.claim_one()).order);
}

TEST_CASE("a row submitted again takes over the order that the cancelled one left at the CA") {
  NameSets store;
  const std::string url = store.left_behind();
  const auto claim = store.submit_and_claim();
  const auto order = store.open(claim, {"b.example", "a.example"}).order.value();
  CHECK(order.url == url);
  CHECK(order.is_adopted());
  CHECK(store.sql.value("SELECT count(*) FROM csrq.acme_order_authorization") == "2");
  CHECK(store.sql.value("SELECT csrq.is_needed(id) FROM csrq.acme_authorization") == "t");
  const auto again = store.open(claim).order.value();
  CHECK(again.id == order.id);
  CHECK_FALSE(again.is_adopted());

  const auto third = store.open(store.submit_and_claim()).order.value();
  CHECK(third.url.empty());
}

TEST_CASE("of two rows that come at once, one takes the order over and the other orders anew") {
  NameSets store;
  const std::string url = store.left_behind();
  const auto first = store.submit_and_claim();
  const auto second = store.submit_and_claim();
  CHECK(store.open(first).order.value().url == url);
  CHECK(store.open(second).order.value().url.empty());
}

TEST_CASE("an order that was left behind is not taken over") {
  NameSets store;
  store.left_behind();
  SUBCASE("once it was finalized") {
    store.sql.run("UPDATE csrq.acme_order SET finalize_at = now()");
  }
  SUBCASE("when it is about to expire") {
    store.sql.run("UPDATE csrq.acme_order SET expires_at = now() + interval '9 minutes'");
  }
  SUBCASE("once it is invalid") {
    store.sql.run("UPDATE csrq.acme_order SET status = 'invalid'");
  }
  SUBCASE("once one of its authorizations is being deactivated") {
    store.sql.run("UPDATE csrq.acme_authorization SET deactivation_at = now() - interval '1 hour'");
  }
  SUBCASE("once one of its authorizations is over") {
    store.sql.run("UPDATE csrq.acme_authorization SET status = 'expired'");
  }
  SUBCASE("when another row of the ledger for it has gone further") {
    const auto claim = store.submit_and_claim();
    const auto order = store.open(claim).order.value();
    REQUIRE(order.is_adopted());
    REQUIRE(store::complete(store.database, claim.fence, Store::issued(order.id, "01")));
  }
  SUBCASE("by a row of another customer") {
    store.sql.run("UPDATE csrq.acme_order SET customer = 'other'");
  }
  SUBCASE("with another profile") {
    CHECK(store.open(store.submit_and_claim({.profile = "shortlived"})).order.value().url.empty());
    return;
  }
  SUBCASE("under another account") {
    CHECK(
        store.open(store.submit_and_claim(), {"a.example", "b.example"}, "other").order.value().url.empty());
    return;
  }
  SUBCASE("for other names") {
    CHECK(store.open(store.submit_and_claim(), {"a.example"}).order.value().url.empty());
    return;
  }
  CHECK(store.open(store.submit_and_claim()).order.value().url.empty());
}

TEST_CASE("the schedule of a row survives restarts and never becomes a tight loop") {
  Store store;
  const auto id = store.submit();
  const std::vector<Duration> by_default{std::chrono::minutes(1), std::chrono::minutes(10),
                                         std::chrono::minutes(100), std::chrono::hours(24)};
  for (const double expected : {60.0, 600.0, 6000.0, 86400.0, 86400.0}) {
    CAPTURE(expected);
    // Each time by a process that knows nothing of the former ones.
    store::Database other({.url = store.test.url()});
    const auto worker = store::worker_start(other, "other", 2, "test");
    const auto claims = store::claim(other, worker, 1, lease);
    REQUIRE(claims.size() == 1);
    REQUIRE(
        store::record_failure(other, claims[0].fence, some_failure(FailureClass::validation), by_default));
    store::worker_stop(other, worker);
    const double wait = std::stod(store.job(id, "extract(epoch FROM run_at - now())"));
    CHECK(wait > expected * 0.96);
    CHECK(wait < expected * 1.04);
    CHECK(store::claim(store.database, store.worker, 1, lease).empty());
    store.sql.run("UPDATE csrq.job SET run_at = now()");
  }
}

TEST_CASE("rows that failed together are not tried together: the schedule has jitter") {
  Store store;
  store.sql.run("INSERT INTO csrq.request (customer, csr) SELECT 'acme', 'x' FROM generate_series(1, 20)");
  for (const auto& claim : store::claim(store.database, store.worker, 20, lease))
    REQUIRE(
        store::record_failure(store.database, claim.fence, some_failure(FailureClass::transient), schedule));
  CHECK(std::stod(store.sql.value("SELECT extract(epoch FROM max(run_at) - min(run_at)) FROM csrq.job")) >
        0.5);
}
