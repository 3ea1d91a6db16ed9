#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "db/store_fixture.hpp"

using namespace csrq;
using namespace csrq::test;

TEST_CASE("a completed row holds its chain, and all that goes with it is written") {
  Store store;
  const auto id = store.submit();
  REQUIRE(store.issue_next("0abc") == id);
  CHECK(store.request(id, "status") == "issued");
  CHECK(store.request(id, "serial") == "0abc");
  CHECK(store.request(id, "attempts") == "1");
  CHECK(store.request(id, "not_after - not_before") == "90 days");
  CHECK(store::chain(store.database, id) == "-----BEGIN CERTIFICATE-----\n0abc");
  CHECK(store.job(id, "status") == "");
  CHECK(store.count("renewal") == "1");
  CHECK(store.sql.value("SELECT string_agg(what, ' ' ORDER BY id) FROM csrq.event") == "claimed issued");
  CHECK(store.sql.value("SELECT closed_at IS NOT NULL FROM csrq.acme_order WHERE status = 'valid'") == "t");
}

TEST_CASE("without auto_renew no renewal is planned") {
  Store store;
  const auto id = store.submit({.auto_renew = false});
  store.issue_next("01");
  CHECK(store.count("renewal") == "0");
  CHECK(store.request(id, "renew_at") == "");
}

TEST_CASE("a due renewal replaces the chain; until then the old one stands and the row stays issued") {
  Store store;
  const auto id = store.submit();
  store.issue_next("01");
  CHECK(store::renew_due(store.database, 10) == 0);
  store.sql.run("UPDATE csrq.renewal SET renew_at = now()");
  CHECK(store::renew_due(store.database, 10) == 1);
  const auto claim = store.claim_one();
  CHECK(claim.kind == store::JobKind::renew);
  CHECK(store.request(id, "status || ' ' || serial") == "issued 01");
  CHECK(store::complete(store.database, claim.fence, Store::issued(store.ready_order(claim.fence), "02")));
  CHECK(store.request(id, "status || ' ' || serial") == "issued 02");
  CHECK(store.count("certificate") == "2");
  CHECK(store.count("renewal") == "1");
}

TEST_CASE("a failure backs the row off by the schedule, whose last entry repeats") {
  Store store;
  const auto id = store.submit();
  for (const std::string expected : {"60", "600", "600"}) {
    CAPTURE(expected);
    REQUIRE(store::record_failure(store.database, store.claim_one().fence,
                                  some_failure(FailureClass::validation), schedule));
    const std::string wait =
        store.job(id, "abs(extract(epoch FROM run_at - now()) / " + expected + " - 1) < 0.04");
    CHECK(wait == "t");
    CHECK(store::claim(store.database, store.worker, 1, lease).empty());
    store.sql.run("UPDATE csrq.job SET run_at = now()");
  }
  CHECK(store.job(id, "failures") == "3");
  CHECK(store.request(id, "status") == "pending");
  CHECK(store.request(id, "error ->> 'class'") == "validation");
}

TEST_CASE("what a CA puts into its problem under csrq's names is not taken for csrq's") {
  for (const char* number : {"7", "1e300", "1.5", "\"7\""}) {
    CAPTURE(number);
    Store store;
    const auto id = store.submit();
    Failure failure = some_failure(FailureClass::administrative);
    failure.problem =
        std::string(R"({"type":"about:blank","request":"x","failed_names":["y"],"account":)") + number + "}";
    REQUIRE(store::record_failure(store.database, store.claim_one().fence, failure, schedule));
    CHECK(store.request(id, "waits_for_account IS NULL") == "t");
    CHECK(store.request(id, "error ?| ARRAY['account', 'failed_names', 'request']") == "f");
    CHECK(store.request(id, "error ->> 'type'") == "about:blank");
  }
}

TEST_CASE("a row that waits for an account says for which") {
  Store store;
  const auto id = store.submit();
  Failure failure = some_failure(FailureClass::administrative);
  failure.refused_account = 7;
  REQUIRE(store::put_off(store.database, store.claim_one().fence, std::chrono::hours(1), &failure));
  CHECK(store.request(id, "waits_for_account") == "7");
}

TEST_CASE("a CA that asks to wait longer than the schedule is obeyed") {
  Store store;
  const auto id = store.submit();
  Failure failure = some_failure(FailureClass::transient);
  failure.retry_after = std::chrono::hours(5);
  REQUIRE(store::record_failure(store.database, store.claim_one().fence, failure, schedule));
  CHECK(store.job(id, "run_at > now() + interval '4 hours 59 minutes'") == "t");
}

TEST_CASE("a permanent failure ends the row's work until a person acts") {
  Store store;
  const auto id = store.submit();
  const auto claim = store.claim_one();
  store.ready_order(claim.fence);
  REQUIRE(
      store::record_failure(store.database, claim.fence, some_failure(FailureClass::permanent), schedule));
  CHECK(store.request(id, "status") == "failed");
  CHECK(store.job(id, "parked_because") == "failed");
  CHECK(store.sql.value("SELECT count(*) FROM csrq.acme_order WHERE closed_at IS NULL") == "0");
  CHECK(store::retry(store.database, {.id = id}) == 1);
  CHECK(store.request(id, "status") == "pending");
  CHECK(store.claim_one().attempt == 2);
}

TEST_CASE("a row that is put off waits without a failure being counted") {
  Store store;
  const auto id = store.submit();
  const Failure limited = some_failure(FailureClass::limited);
  REQUIRE(store::put_off(store.database, store.claim_one().fence, std::chrono::hours(2), &limited));
  CHECK(store.job(id, "failures") == "0");
  CHECK(store.job(id, "run_at > now() + interval '119 minutes'") == "t");
  CHECK(store.request(id, "error ->> 'class'") == "limited");
  CHECK(store::retry(store.database, {.id = id}) == 1);
  REQUIRE(store::put_off(store.database, store.claim_one().fence, std::chrono::seconds(0), nullptr));
  CHECK(store.claim_one().attempt == 3);
}

TEST_CASE("the problem document of a CA is kept whole, beside class, code and sentence") {
  Store store;
  const auto id = store.submit();
  Failure failure = some_failure(FailureClass::validation);
  failure.problem =
      R"({"type": "urn:ietf:params:acme:error:dns", "detail": "NXDOMAIN", "subproblems": [{"type": "x"}]})";
  REQUIRE(store::record_failure(store.database, store.claim_one().fence, failure, schedule));
  CHECK(store.request(id, "error ->> 'type'") == "urn:ietf:params:acme:error:dns");
  CHECK(store.request(id, "error #>> '{subproblems,0,type}'") == "x");
  CHECK(store.request(id, "error ->> 'code'") == "dns");
  CHECK(store.request(id, "error ->> 'detail'") == "no such name");
}

TEST_CASE("a hostile problem document does not keep the failure from being written") {
  Store store;
  store.submit();
  Failure failure = some_failure(FailureClass::transient);
  SUBCASE("with U+0000") {
    failure.problem = R"({"type": "a\u0000b", "c\u0000": "\\u0000"})";
  }
  SUBCASE("with octets that are no UTF-8") {
    failure.problem = "{\"type\": \"\xff\"}";
  }
  SUBCASE("nested without end") {
    failure.problem = "{\"a\":" + std::string(100000, '[') + std::string(100000, ']') + "}";
  }
  SUBCASE("that is no object") {
    failure.problem = "[1]";
  }
  SUBCASE("that is no JSON") {
    failure.problem = "<html>";
  }
  SUBCASE("with a sentence of ours that has octets of theirs") {
    failure.detail = std::string("a\0b\xff", 4);
  }
  CHECK(store::record_failure(store.database, store.claim_one().fence, failure, schedule));
  CHECK(store.sql.value("SELECT error ->> 'code' FROM csrq.request") == "dns");
}

TEST_CASE(
    "a row that goes on waiting for its CA leaves one event, whatever happens next tells of its claim") {
  Store store;
  const auto id = store.submit();
  Failure out = some_failure(FailureClass::transient);
  const auto wait = [&](const char* code) {
    out.code = code;
    REQUIRE(store::put_off(store.database, store.claim_one().fence, std::chrono::seconds(0), &out));
  };
  const auto story = [&] {
    return store.sql.value("SELECT string_agg(what, ' ' ORDER BY id) FROM csrq.event");
  };
  for (int look = 0; look < 4; ++look) wait("ca_out_of_reach");
  CHECK(story() == "claimed put_off");
  CHECK(store.job(id, "attempt") == "1");
  wait("on_hold");
  CHECK(story() == "claimed put_off put_off");

  out.request = FailedRequest{.method = "GET", .url = "https://ca.example/dir"};
  wait("connection");
  wait("connection");
  CHECK(story() == "claimed put_off put_off put_off claimed put_off");
  out.request.reset();
  wait("ca_out_of_reach");

  const auto claim = store.claim_one();
  store.ready_order(claim.fence);
  CHECK(store.request(id, "error") == "");
  CHECK(store.sql.value("SELECT what FROM csrq.event WHERE lease_number = " +
                        std::to_string(store::number(claim.fence.lease))) == "claimed");
  out.code = "ca_out_of_reach";
  REQUIRE(store::put_off(store.database, claim.fence, std::chrono::seconds(0), &out));
  CHECK(store.sql.value("SELECT what FROM csrq.event ORDER BY id DESC LIMIT 1") == "put_off");
}

TEST_CASE("the renewal follows auto_renew when an admin switches it") {
  Store store;
  const auto id = store.submit();
  const auto switch_to = [&](const std::string& value) {
    store.sql.run("UPDATE csrq.request SET auto_renew = " + value);
  };
  switch_to("false");
  switch_to("true");
  CHECK(store.request(id, "renew_at") == "");  // nothing is issued yet
  CHECK(store.count("renewal") == "0");

  store.issue_next("01");
  CHECK(store.count("renewal") == "1");
  switch_to("false");
  CHECK(store.request(id, "renew_at") == "");
  CHECK(store.count("renewal") == "0");
  switch_to("true");
  CHECK(store.request(id, "renew_at = not_after - (not_after - not_before) / 3") == "t");
  CHECK(store.sql.value("SELECT n.renew_at = r.renew_at FROM csrq.renewal n, csrq.request r") == "t");

  SUBCASE("one whose time is past is due now") {
    store.sql.run(
        "UPDATE csrq.request SET not_before = now() - interval '89 days', not_after = now() + interval '1 "
        "day'");
    switch_to("false");
    switch_to("true");
    CHECK(store::renew_due(store.database, 10) == 1);
  }
  SUBCASE("while work on it is open no other is planned") {
    REQUIRE(store::renew(store.database, id));
    switch_to("false");
    switch_to("true");
    CHECK(store.count("renewal") == "0");
    store.issue_next("02");
    CHECK(store.count("renewal") == "1");
  }
}

TEST_CASE("a revocation is claimed with its reason and ends the request") {
  Store store;
  const auto id = store.submit();
  store.issue_next("0abc");
  CHECK(store::revoke(store.database, id, 1));
  CHECK_FALSE(store::revoke(store.database, id, 1));
  const auto claim = store.claim_one();
  CHECK(claim.kind == store::JobKind::revoke);
  CHECK(claim.revoke_reason == 1);

  const auto certificate = store::certificate_to_revoke(store.database, id);
  REQUIRE(certificate);
  CHECK(certificate->der == std::string("0\0\xff\x80", 4) + "0abc");
  CHECK(certificate->owner == some_owner());

  CHECK(store::complete_revocation(store.database, claim.fence));
  CHECK(store.request(id, "status") == "cancelled");
  CHECK(store.sql.value("SELECT revoke_reason FROM csrq.certificate") == "1");
  CHECK_FALSE(store::certificate_to_revoke(store.database, store::RequestId{999}));
}
