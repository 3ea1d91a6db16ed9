#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "db/store_fixture.hpp"
#include "store/before_order.hpp"
#include "store/health.hpp"
#include "store/notifications.hpp"

using namespace csrq;
using namespace csrq::test;
using namespace std::chrono_literals;
using store::Verdict;

namespace {

/// A customer whose keys may be in use for a year, and a row of it that is issued.
struct OldKeys : Store {
  store::RequestId id{submit()};

  OldKeys() {
    sql.run("UPDATE csrq.customer SET fresh_csr_after = '1 year'");
    issue("01");
  }
  store::Decision look() {
    const auto claim = claim_one();
    REQUIRE(claim.fence.request == id);
    return store::before_order(database, claim.fence,
                               {.names = {"a.example"}, .demand_sha256 = std::string(32, 'd')});
  }
  void issue(const std::string& serial) {
    const auto claim = claim_one();
    REQUIRE(store::before_order(database, claim.fence,
                                {.names = {"a.example"}, .demand_sha256 = std::string(32, 'd')})
                .verdict == Verdict::order);
    REQUIRE(store::complete(database, claim.fence, issued(ready_order(claim.fence), serial)));
  }
  void key_is_of(const std::string& age) {
    sql.run("UPDATE csrq.request SET key_since = now() - interval '" + age + "'");
  }
  void renewal_falls_due() {
    sql.run("UPDATE csrq.renewal SET renew_at = now()");
    REQUIRE(store::renew_due(database, 10) == 1);
  }
  std::string events(const std::string& what) {
    return sql.value("SELECT count(*) FROM csrq.event WHERE what = '" + what + "'");
  }
};

}  // namespace

TEST_CASE(
    "a renewal from a CSR that has been in use for too long waits, and the app is asked for a new one, "
    "once") {
  OldKeys store;
  store.key_is_of("366 days");
  store.renewal_falls_due();
  const auto decision = store.look();
  CHECK(decision.verdict == Verdict::fresh_csr_wanted);
  CHECK(decision.detail.find("insert its CSR with replaces_id 1") != std::string::npos);
  CHECK(store.request(store.id, "status") == "issued");
  CHECK(store.request(store.id, "serial") == "01");
  CHECK(store.sql.value("SELECT state || ' ' || (error ->> 'code') FROM csrq.status") ==
        "renewing fresh_csr_wanted");
  CHECK(store.job(store.id, "status") == "parked");
  CHECK(store.job(store.id, "failures") == "0");
  CHECK(store.events("fresh_csr_wanted") == "1");
  CHECK(store.sql.value("SELECT detail ->> 'key_since' LIKE '____-__-__T__:__:__Z' FROM csrq.event "
                        "WHERE what = 'fresh_csr_wanted'") == "t");
  CHECK(store::renew_due(store.database, 10) == 0);
  CHECK(store::claim(store.database, store.worker, 10, lease).empty());
  CHECK(store::health(store.database, 24h, 24h, "").need_person == 1);
}

TEST_CASE("a renewal is done from the same CSR while that is young enough, or its customer sets no age") {
  OldKeys store;
  SUBCASE("young enough") {
    store.key_is_of("364 days");
  }
  SUBCASE("no age") {
    store.key_is_of("10 years");
    store.sql.run("UPDATE csrq.customer SET fresh_csr_after = NULL");
  }
  store.renewal_falls_due();
  CHECK(store.look().verdict == Verdict::order);
}

TEST_CASE("the age of a key counts from its first certificate, whichever request it was issued for") {
  OldKeys store;
  CHECK(store.request(store.id, "key_since > now() - interval '1 minute'") == "t");
  store.key_is_of("100 days");
  REQUIRE(store::renew(store.database, store.id));
  store.issue("02");
  CHECK(store.request(store.id, "key_since < now() - interval '99 days'") == "t");
  const auto again = store.submit({.reuse_chain = false});
  store.issue("03");
  CHECK(store.request(again, "key_since < now() - interval '99 days'") == "t");
}

TEST_CASE("of a row issued before csrq kept the age of its key, the age counts from its insert") {
  OldKeys store;
  store.sql.run("UPDATE csrq.request SET key_since = NULL");
  store.sql.run("ALTER TABLE csrq.request DISABLE TRIGGER frozen");
  store.sql.run("UPDATE csrq.request SET created_at = now() - interval '400 days'");
  REQUIRE(store::renew(store.database, store.id));
  store.issue("02");
  CHECK(store.request(store.id, "key_since < now() - interval '399 days'") == "t");
  store.renewal_falls_due();
  CHECK(store.look().verdict == Verdict::fresh_csr_wanted);
}

TEST_CASE("a renewal that was asked for by hand is done from the old CSR, once") {
  OldKeys store;
  store.key_is_of("366 days");
  SUBCASE("before csrq has asked for a new one") {
    REQUIRE(store::renew(store.database, store.id));
  }
  SUBCASE("after that, with csrq.renew") {
    store.renewal_falls_due();
    REQUIRE(store.look().verdict == Verdict::fresh_csr_wanted);
    CHECK(store::renew(store.database, store.id));
  }
  SUBCASE("after that, with csrq.retry") {
    store.renewal_falls_due();
    REQUIRE(store.look().verdict == Verdict::fresh_csr_wanted);
    CHECK(store::retry(store.database, {.everything = true}) == 0);
    CHECK(store::retry(store.database, {.code = "fresh_csr_wanted"}) == 1);
  }
  store.issue("02");
  CHECK(store.request(store.id, "error") == "");
  store.renewal_falls_due();
  CHECK(store.look().verdict == Verdict::fresh_csr_wanted);
}

TEST_CASE("a renewal that is under way at its CA is finished, however old the key") {
  OldKeys store;
  store.renewal_falls_due();
  const auto claim = store.claim_one();
  store.ready_order(claim.fence);
  store.key_is_of("366 days");
  CHECK(store::before_order(store.database, claim.fence,
                            {.names = {"a.example"}, .demand_sha256 = std::string(32, 'd')})
            .verdict == Verdict::order);
}

TEST_CASE(
    "the customer's administrators are told which requests want a new CSR, and of the end of their "
    "certificates") {
  OldKeys store;
  const store::NotificationRules rules{
      .can = {"webhook"}, .default_channels = {"webhook"}, .digest = 15min, .soon = {}};
  store.sql.run("UPDATE csrq.customer SET notify_webhook = 'https://acme.example/csrq'");
  store.key_is_of("366 days");
  store.renewal_falls_due();
  REQUIRE(store.look().verdict == Verdict::fresh_csr_wanted);
  CHECK(store::make_notifications(store.database, rules) == 1);
  const auto message = nlohmann::json::parse(store.sql.value("SELECT payload FROM csrq.notification"));
  CHECK(message["customer"] == "acme");
  CHECK(message["summary"] == "1 request: fresh_csr_wanted (permanent)");
  CHECK(message["causes"][0]["need_a_person"] == 1);
  CHECK(message["causes"][0]["examples"][0]["request"] == 1);
  CHECK(store::make_notifications(store.database, rules) == 0);

  store.sql.run("UPDATE csrq.job SET created_at = now() - interval '2 hours'");
  store.sql.run(
      "UPDATE csrq.request SET not_before = now() - interval '61 days', not_after = now() + interval '29 "
      "days'");
  store.sql.run("UPDATE csrq.notifier SET expiry_checked_at = '-infinity'");
  CHECK(store::make_notifications(store.database, rules) == 1);
  CHECK(store.sql.value("SELECT kind FROM csrq.notification ORDER BY id DESC LIMIT 1") == "expiry");
}

TEST_CASE("a new CSR ends the wait for it when it is issued, not before") {
  OldKeys store;
  store.key_is_of("366 days");
  store.renewal_falls_due();
  REQUIRE(store.look().verdict == Verdict::fresh_csr_wanted);
  const auto fresh = store.submit({.replaces = store.id});
  CHECK(store.job(store.id, "status") == "parked");
  const auto claim = store.claim_one();
  REQUIRE(claim.fence.request == fresh);
  REQUIRE(store::complete(store.database, claim.fence, Store::issued(store.ready_order(claim.fence), "02")));
  CHECK(store.job(store.id, "status") == "");
  CHECK(store.request(store.id, "error") == "");
  CHECK(store.sql.value("SELECT state FROM csrq.status WHERE id = 1") == "issued");
}

TEST_CASE("only an admin sets how long a customer's keys may be in use") {
  OldKeys store;
  const std::string url = store.test.url_as("csrq_test_admin");
  store.sql.run("GRANT csrq_admin TO csrq_test_admin");
  Sql admin(url);
  CHECK(admin.refusal("UPDATE csrq.customer SET fresh_csr_after = '90 days', reuse_chain = false") == "");
  CHECK(admin.refusal("UPDATE csrq.customer SET fresh_csr_after = '-1 day'").find("violates check") !=
        std::string::npos);
}
