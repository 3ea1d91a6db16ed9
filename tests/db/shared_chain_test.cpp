#include <doctest/doctest.h>

#include "db/store_fixture.hpp"
#include "store/before_order.hpp"

using namespace csrq;
using namespace csrq::test;
using store::Verdict;

namespace {

const std::string some_demand(32, 'd');

/// Rows for the same certificate.
struct Sharers : Store {
  static std::string text(store::RequestId id) { return std::to_string(store::number(id)); }

  store::Claim claim_row(store::RequestId id) {
    sql.run("UPDATE csrq.job SET run_at = now() - interval '1 hour' WHERE request_id = " + text(id));
    store::Claim claim = claim_one();
    REQUIRE(claim.fence.request == id);
    return claim;
  }
  store::Decision decide(const store::Claim& claim, const std::string& demand = some_demand) {
    return store::before_order(database, claim.fence, {.names = {"a.example"}, .demand_sha256 = demand});
  }
  /// What a worker that comes to the row is told.
  Verdict look(store::RequestId id, const std::string& demand = some_demand) {
    return decide(claim_row(id), demand).verdict;
  }
  store::RequestId issue(store::RequestId id, const std::string& serial,
                         const std::string& demand = some_demand) {
    const auto claim = claim_row(id);
    REQUIRE(decide(claim, demand).verdict == Verdict::order);
    complete(claim, serial);
    return id;
  }
  void complete(const store::Claim& claim, const std::string& serial) {
    REQUIRE(store::complete(database, claim.fence, issued(ready_order(claim.fence), serial)));
  }
  bool is_renewed(store::RequestId id) {
    return request(id, "auto_renew") == "t" &&
           sql.value("SELECT count(*) FROM csrq.renewal WHERE request_id = " + text(id)) == "1";
  }
  std::string event(store::RequestId id, const std::string& what, const std::string& column) {
    return sql.value("SELECT " + column + " FROM csrq.event WHERE request_id = " + text(id) +
                     " AND what = '" + what + "' ORDER BY id DESC LIMIT 1");
  }
};

}  // namespace

TEST_CASE("a row for the same names and key as one with a valid chain gets that chain, without an order") {
  Sharers store;
  const auto first = store.issue(store.submit(), "01");
  const auto second = store.submit();
  CHECK(store.look(second) == Verdict::issued);
  CHECK(store.request(second, "status") == "issued");
  CHECK(store.request(second, "serial") == "01");
  CHECK(store.request(second, "chain") == store.request(first, "chain"));
  CHECK(store.request(second, "names") == "{a.example}");
  CHECK(store.job(second, "status") == "");
  CHECK(store.count("acme_order") == "1");
  CHECK(store.event(second, "issued", "detail ->> 'from_request'") == "1");
}

TEST_CASE("of rows that share a chain the newest is renewed, and tells whom it has replaced") {
  Sharers store;
  const auto first = store.issue(store.submit(), "01");
  const auto second = store.submit();
  REQUIRE(store.look(second) == Verdict::issued);
  CHECK_FALSE(store.is_renewed(first));
  CHECK(store.is_renewed(second));
  CHECK(store.request(first, "replaced_by") == "2");
  CHECK(store.event(first, "replaced", "detail ->> 'by_request'") == "2");
  CHECK(store.sql.value(
            "SELECT (SELECT renew_at FROM csrq.renewal) = renew_at FROM csrq.request WHERE id = 2") == "t");
  const auto third = store.submit();
  REQUIRE(store.look(third) == Verdict::issued);
  CHECK_FALSE(store.is_renewed(second));
  CHECK(store.is_renewed(third));

  SUBCASE("if it is not to be renewed the other one goes on") {
    const auto fourth = store.submit({.auto_renew = false});
    REQUIRE(store.look(fourth) == Verdict::issued);
    CHECK(store.is_renewed(third));
  }
  SUBCASE("if it is cancelled the one before it is renewed again") {
    store::cancel(store.database, third);
    CHECK(store.is_renewed(second));
    CHECK(store.request(second, "replaced_by") == "");
    CHECK(store.event(second, "renewed_again", "detail ->> 'by_request'") == "3");
  }
  SUBCASE("its next renewal gives it a certificate of its own") {
    REQUIRE(store::renew(store.database, third));
    store.issue(third, "02");
    CHECK(store.request(third, "chain_from") == "");
    CHECK(store.request(second, "serial") == "01");
  }
}

TEST_CASE("a row is issued by itself where the other one's chain does not serve it") {
  Sharers store;
  store::Submission other;
  std::string demand = some_demand;
  const auto first = store.issue(store.submit(), "01");
  SUBCASE("it is another customer's") {
    other.customer = "other";
  }
  SUBCASE("another certificate is wanted") {
    demand = std::string(32, 'e');
  }
  SUBCASE("its renewal is due") {
    store.sql.run("UPDATE csrq.request SET renew_at = now() - interval '1 minute'");
  }
  SUBCASE("its renewal would be due, were it renewed") {
    store.sql.run("UPDATE csrq.request SET auto_renew = false");
    store.sql.run(
        "UPDATE csrq.request SET not_before = now() - interval '61 days', not_after = now() + interval '29 "
        "days'");
  }
  SUBCASE("it is being revoked") {
    REQUIRE(store::revoke(store.database, first, 1));
    store.sql.run("UPDATE csrq.job SET run_at = now() + interval '1 hour'");
  }
  SUBCASE("it was revoked") {
    store.sql.run("UPDATE csrq.certificate SET revoked_at = now()");
  }
  SUBCASE("it is cancelled") {
    store::cancel(store.database, first);
  }
  SUBCASE("the customer does not want it") {
    store.sql.run("UPDATE csrq.customer SET reuse_chain = false");
  }
  SUBCASE("the row does not want it") {
    other.reuse_chain = false;
  }
  const auto second = store.submit(other);
  CHECK(store.look(second, demand) == Verdict::order);
  CHECK(store.request(second, "status") == "pending");
}

TEST_CASE("a row may share a chain although its customer does not") {
  Sharers store;
  store.issue(store.submit(), "01");
  store.sql.run("UPDATE csrq.customer SET reuse_chain = false");
  CHECK(store.look(store.submit({.reuse_chain = true})) == Verdict::issued);
}

TEST_CASE(
    "while one row is under way others for the same certificate wait, and get its chain when it comes") {
  Sharers store;
  const auto second = store.submit();
  const auto first = store.submit();
  const auto busy = store.claim_row(first);
  CHECK(store.decide(busy).verdict == Verdict::order);
  const auto decision = store.decide(store.claim_row(second));
  CHECK(decision.verdict == Verdict::wait);
  CHECK(decision.detail.find("request 2 for the same names and key is under way") != std::string::npos);
  CHECK(store.request(second, "error ->> 'code'") == "same_request_under_way");
  CHECK(store.job(second, "status = 'ready' AND run_at > now()") == "t");
  CHECK(store.look(second) == Verdict::wait);
  CHECK(store.sql.value("SELECT count(*) FROM csrq.event WHERE what = 'put_off'") == "1");
  CHECK(store.decide(busy).verdict == Verdict::order);  // it does not wait for those that wait for it
  store.complete(busy, "01");
  CHECK(store.job(second, "run_at <= now()") == "t");
  CHECK(store.look(second) == Verdict::issued);
  CHECK(store.request(second, "error") == "");
}

TEST_CASE("a row that waits for another one goes on by itself when that is no use any more") {
  Sharers store;
  const auto first = store.submit();
  const auto second = store.submit();
  const auto busy = store.claim_row(first);
  REQUIRE(store.decide(busy).verdict == Verdict::order);
  REQUIRE(store.look(second) == Verdict::wait);
  SUBCASE("the other one has failed") {
    REQUIRE(
        store::record_failure(store.database, busy.fence, some_failure(FailureClass::validation), schedule));
  }
  SUBCASE("the other one was cancelled") {
    store::cancel(store.database, first);
  }
  SUBCASE("csrq.retry was called") {
    REQUIRE(store::retry(store.database, {.id = second}) == 1);
  }
  SUBCASE("it has waited for a day") {
    store.sql.run("UPDATE csrq.job SET created_at = now() - interval '25 hours' WHERE request_id = 2");
  }
  CHECK(store.look(second) == Verdict::order);
}

TEST_CASE("a row waits for the renewal of the one whose chain it would have got") {
  Sharers store;
  const auto first = store.issue(store.submit(), "01");
  REQUIRE(store::renew(store.database, first));
  const auto second = store.submit();
  store.sql.run("UPDATE csrq.job SET run_at = now() + interval '1 hour' WHERE request_id = 1");
  CHECK(store.look(second) == Verdict::wait);
  store.issue(first, "02");
  CHECK(store.look(second) == Verdict::issued);
  CHECK(store.request(second, "serial") == "02");
}

TEST_CASE("of two workers that come to rows for the same certificate at once one lets the other go first") {
  Sharers store;
  store.submit();
  store.submit();
  const auto one = store.claim_row(store::RequestId{1});
  const auto two = store.claim_row(store::RequestId{2});
  pqxx::connection connection(store.test.url());
  pqxx::work other_worker(connection);
  const std::string names_and_demand = "'{a.example}', decode('" + [] {
    std::string hex;
    for (int i = 0; i < 32; ++i) hex += "64";
    return hex;
  }() + "', 'hex'), false";
  const auto call = [&](const store::Claim& claim) {
    return "SELECT verdict FROM csrq.before_order(" + std::to_string(store::number(claim.fence.worker)) +
           ", " + Sharers::text(claim.fence.request) + ", " +
           std::to_string(store::number(claim.fence.lease)) + ", " + names_and_demand + ")";
  };
  CHECK(other_worker.exec(call(one))[0][0].as<std::string>() == "order");
  CHECK(store.sql.value(call(two)) == "wait");
  CHECK(store.job(store::RequestId{2}, "run_at > now() + interval '50 seconds'") == "t");
  other_worker.commit();
}

TEST_CASE(
    "nobody else can compute the lock by which rows for the same certificate come one after the other") {
  Sharers store;
  pqxx::connection connection(store.test.url());
  pqxx::work app(connection);
  app.exec("SELECT pg_advisory_lock(hashtextextended('acme' || repeat('64', 32), 0))");
  CHECK(store.look(store.submit()) == Verdict::order);
}

TEST_CASE("a row that was not let through by its lease decides nothing") {
  Sharers store;
  store.issue(store.submit(), "01");
  const auto second = store.submit();
  auto claim = store.claim_row(second);
  claim.fence.lease = store::LeaseNumber{1};
  CHECK_THROWS_AS(store.decide(claim), store::LeaseLost);
  CHECK(store.request(second, "status") == "pending");
}

TEST_CASE("nobody asks again for a certificate for a key that was revoked as compromised") {
  Sharers store;
  const auto first = store.issue(store.submit(), "01");
  const auto second = store.submit();
  REQUIRE(store.look(second) == Verdict::issued);
  REQUIRE(store::revoke(store.database, first, 1));
  CHECK(store::complete_revocation(store.database, store.claim_one().fence));
  CHECK(store.job(second, "kind") == "");
  CHECK(store.request(second, "auto_renew") == "f");
  CHECK(store.request(second, "error ->> 'code'") == "key_compromised");
  CHECK(store.sql.value("SELECT count(*) FROM csrq.renewal") == "0");
}

TEST_CASE("a row that is to be renewed again while its renewal is being dropped keeps a plan") {
  Sharers store;
  const auto id = store.issue(store.submit(), "01");
  REQUIRE(store::renew(store.database, id));
  const auto claim = store.claim_row(id);
  store.sql.run("UPDATE csrq.job SET cancel_requested = true");
  CHECK(store.sql.value("SELECT csrq.drop_cancelled(" + std::to_string(store::number(claim.fence.worker)) +
                        ", " + Sharers::text(id) + ", " + std::to_string(store::number(claim.fence.lease)) +
                        ")") == "t");
  CHECK(store.sql.value("SELECT count(*) FROM csrq.renewal") == "1");
}

TEST_CASE(
    "a shared certificate can be revoked from each row that has it, and the others are renewed at once") {
  Sharers store;
  const auto first = store.issue(store.submit(), "01");
  const auto second = store.submit();
  REQUIRE(store.look(second) == Verdict::issued);
  SUBCASE("from the row that took it") {
    REQUIRE(store::revoke(store.database, second, 4));
    const auto claim = store.claim_one();
    CHECK(store::certificate_to_revoke(store.database, second).has_value());
    CHECK(store::complete_revocation(store.database, claim.fence));
    CHECK(store.request(second, "status") == "cancelled");
    CHECK(store.job(first, "kind") == "renew");
  }
  SUBCASE("from the row that ordered it") {
    REQUIRE(store::revoke(store.database, first, 4));
    const auto claim = store.claim_one();
    CHECK(store::complete_revocation(store.database, claim.fence));
    CHECK(store.job(second, "kind") == "renew");
    CHECK(store.event(second, "renew_requested", "detail ->> 'by'") == "csrq");
  }
  CHECK(store.sql.value("SELECT count(*) FROM csrq.certificate WHERE revoked_at IS NOT NULL") == "1");
}
