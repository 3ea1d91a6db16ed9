#include <doctest/doctest.h>

#include "base/error.hpp"
#include "db/store_fixture.hpp"

using namespace csrq;
using namespace csrq::test;

namespace {

using Names = std::vector<std::string>;

/// A request for a.example, b.example and c.example, and others that stand in for it.
struct Splits : Store {
  store::RequestId stand_in() {
    return store::RequestId{
        std::stoll(sql.value("INSERT INTO csrq.request (customer, csr, split_of) VALUES ('acme', 'x', " +
                             std::to_string(store::number(whole)) + ") RETURNING id"))};
  }

  store::Claim claim_row(store::RequestId id) {
    sql.run("UPDATE csrq.job SET run_at = now() - interval '1 hour' WHERE request_id = " +
            std::to_string(store::number(id)));
    store::Claim claim = claim_one();
    REQUIRE(claim.fence.request == id);
    return claim;
  }

  store::OpenOrderResult open(const store::Claim& claim, const Names& names) {
    return store::open_order(database, claim.fence, account, names, {});
  }

  /// A worker comes to the row: "" if it goes on, else why it waits.
  std::string look(store::RequestId id, const Names& names) {
    const store::Claim claim = claim_row(id);
    const auto result = open(claim, names);
    const Failure why{.failure_class = FailureClass::limited,
                      .code = result.not_yet ? result.not_yet->code : "none",
                      .detail = result.not_yet ? result.not_yet->detail : ""};
    REQUIRE(store::put_off(database, claim.fence, std::chrono::hours(1), result.not_yet ? &why : nullptr));
    return result.not_yet ? result.not_yet->detail : "";
  }

  void fails(store::RequestId id, const Names& names, const Names& failed,
             FailureClass failure_class = FailureClass::validation) {
    const store::Claim claim = claim_row(id);
    REQUIRE(open(claim, names).order);
    Failure failure = some_failure(failure_class);
    failure.failed_names = failed;
    REQUIRE(store::record_failure(database, claim.fence, failure, schedule));
  }

  void issue(store::RequestId id, const Names& names) {
    const store::Claim claim = claim_row(id);
    REQUIRE(store::complete(database, claim.fence, issued(ready_order(claim.fence, names), "01")));
  }

  bool is_due(store::RequestId id) { return job(id, "status = 'ready' AND run_at <= now()") == "t"; }

  store::AccountId account{store::find_or_create_account(database, some_owner(), some_key('a')).id};
  store::RequestId whole{submit()};
  Names all{"a.example", "b.example", "c.example"};
};

bool says(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a request that stands in for another one waits while no name of that one has failed") {
  Splits store;
  const auto other = store.stand_in();
  CHECK(
      says(store.look(other, {"a.example"}), "stands in for request 1, none of whose names has failed yet"));
  CHECK(store.request(other, "error ->> 'code'") == "split_waits");
  CHECK(store.job(other, "failures") == "0");
  CHECK(store::retry(store.database, {.everything = true}) == 0);
}

TEST_CASE("no more than a hundred requests stand in for one, but for those that were cancelled") {
  Splits store;
  const auto first = store.stand_in();
  const std::string insert = "INSERT INTO csrq.request (customer, csr, split_of) SELECT 'acme', 'x', " +
                             std::to_string(store::number(store.whole)) + " FROM generate_series(1, 100)";
  CHECK(store.sql.refusal(insert).find("100 requests stand in") != std::string::npos);
  store::cancel(store.database, first);
  CHECK(store.sql.refusal(insert) == "");
}

TEST_CASE("it starts once names fail that are not among its own, whether for now or for good") {
  for (const FailureClass failure_class : {FailureClass::validation, FailureClass::permanent}) {
    Splits store;
    const auto good = store.stand_in();
    const auto bad = store.stand_in();
    store.look(good, {"a.example", "b.example"});
    store.look(bad, {"b.example", "c.example"});
    store.fails(store.whole, store.all, {"c.example"}, failure_class);
    CHECK(store.is_due(good));
    CHECK(store.is_due(bad));
    CHECK(store.look(good, {"a.example", "b.example"}).empty());
    CHECK(says(store.look(bad, {"b.example", "c.example"}), "has names that failed as well"));
  }
}

TEST_CASE(
    "of several that could start the one with the most names does, and its own failure is the next one's "
    "turn") {
  Splits store;
  const auto two = store.stand_in();
  const auto one = store.stand_in();
  store.look(two, {"a.example", "b.example"});
  store.look(one, {"b.example"});
  store.fails(store.whole, store.all, {"c.example"});
  CHECK(says(store.look(one, {"b.example"}), "another one stands in for more of its names"));
  store.fails(two, {"a.example", "b.example"}, {"a.example"});
  CHECK(store.is_due(one));
  CHECK(store.look(one, {"b.example"}).empty());
}

TEST_CASE("it does not start before the others have been read that may stand in for more") {
  Splits store;
  const auto one = store.stand_in();
  store.look(one, {"a.example"});
  store.fails(store.whole, store.all, {"c.example"});
  const auto two = store.stand_in();
  CHECK(says(store.look(one, {"a.example"}), "is about to be read"));
  CHECK(store.look(two, {"a.example", "b.example"}).empty());
  CHECK(says(store.look(one, {"a.example"}), "stands in for more of its names"));
}

TEST_CASE("it does not start when it is not known which names failed") {
  Splits store;
  const auto other = store.stand_in();
  store.look(other, {"a.example"});
  store.fails(store.whole, store.all, {});
  CHECK(says(store.look(other, {"a.example"}), "none of whose names has failed yet"));
}

TEST_CASE("it is cancelled once the other one is issued or cancelled") {
  Splits store;
  const auto other = store.stand_in();
  store.look(other, {"a.example"});
  SUBCASE("issued") {
    store.issue(store.whole, store.all);
  }
  SUBCASE("cancelled") {
    store::cancel(store.database, store.whole);
  }
  CHECK(store.is_due(other));
  const auto claim = store.claim_row(other);
  CHECK_THROWS_AS(store.open(claim, {"a.example"}), store::LeaseLost);
  CHECK(store::drop_cancelled(store.database, claim.fence));
  CHECK(store.request(other, "status") == "cancelled");
  CHECK(store.job(other, "status") == "");
  CHECK(store.sql.value(
            "SELECT detail ->> 'by' FROM csrq.event WHERE what = 'cancelled' ORDER BY id DESC LIMIT 1") ==
        "csrq");
}

TEST_CASE("once it has started it goes on, whatever becomes of the other one") {
  Splits store;
  const auto other = store.stand_in();
  store.look(other, {"a.example"});
  store.fails(store.whole, store.all, {"c.example"});
  CHECK(store.look(other, {"a.example"}).empty());
  store.issue(store.whole, store.all);
  CHECK(store.look(other, {"a.example"}).empty());
}

TEST_CASE("of a customer that does not want it to start by itself it waits for csrq.retry") {
  Splits store;
  store.sql.run("UPDATE csrq.customer SET split = false");
  const auto other = store.stand_in();
  store.look(other, {"a.example"});
  store.fails(store.whole, store.all, {"c.example"});
  CHECK(says(store.look(other, {"a.example"}), "csrq.retry(2) starts this one"));
  CHECK(store::retry(store.database, {.id = other}) == 1);
  CHECK(store.look(other, {"a.example"}).empty());
}

TEST_CASE("a request stands in only for one of its customer that stands for itself") {
  Splits store;
  const auto other = store.stand_in();
  const auto refusal = [&](const std::string& customer, const std::string& of) {
    return store.sql.refusal("INSERT INTO csrq.request (customer, csr, split_of) VALUES ('" + customer +
                             "', 'x', " + of + ")");
  };
  CHECK(
      says(refusal("other", "1"), "customer \"other\" has no request 1 that another one could stand in for"));
  CHECK(says(refusal("acme", "99"), "has no request 99"));
  CHECK(says(refusal("acme", std::to_string(store::number(other))), "could stand in for"));
}
