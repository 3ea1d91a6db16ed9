#include <doctest/doctest.h>

#include "db/store_fixture.hpp"
#include "store/before_order.hpp"

using namespace csrq;
using namespace csrq::test;

namespace {

/// A row whose CA has a fallback.
struct Fallback : Store {
  store::RequestId id{submit()};

  store::Decision look(const store::Claim& claim, bool may_fall_back = true) {
    return store::before_order(
        database, claim.fence,
        {.names = {"a.example"}, .demand_sha256 = std::string(32, 'd'), .may_fall_back = may_fall_back});
  }
  store::Claim claim_row() {
    sql.run("UPDATE csrq.job SET run_at = now() - interval '1 second'");
    return claim_one();
  }
  bool falls_back() { return look(claim_row()).falls_back; }

  /// A worker comes, and its step ends with this failure. Whether the worker was told to fall back.
  bool fails(FailureClass failure_class, const std::string& code = "serverInternal") {
    const auto claim = claim_row();
    const bool fell_back = look(claim).falls_back;
    Failure failure = some_failure(failure_class);
    failure.code = code;
    const bool waits = failure_class == FailureClass::limited;
    REQUIRE((waits ? store::put_off(database, claim.fence, std::chrono::hours(1), &failure)
                   : store::record_failure(database, claim.fence, failure, schedule)));
    return fell_back;
  }
  void time_passes() { sql.run("UPDATE csrq.job SET ca_trouble_at = ca_trouble_at - interval '1 hour'"); }
};

}  // namespace

TEST_CASE(
    "a fresh row goes to the fallback after three failures of its CA, and to each by turns from then on") {
  Fallback store;
  CHECK_FALSE(store.fails(FailureClass::transient));
  CHECK_FALSE(store.fails(FailureClass::transient));
  CHECK_FALSE(store.fails(FailureClass::transient));
  CHECK(store.fails(FailureClass::transient));
  CHECK_FALSE(store.fails(FailureClass::transient));
  CHECK(store.falls_back());
}

TEST_CASE("a row without a fallback stays with its CA") {
  Fallback store;
  for (int i = 0; i < 4; ++i) store.fails(FailureClass::transient);
  CHECK_FALSE(store.look(store.claim_row(), false).falls_back);
}

TEST_CASE("a fresh row goes to the fallback after an hour of waiting for its CA") {
  for (const char* code : {"ca_out_of_reach", "rateLimited", "rate_limit", "on_hold"}) {
    CAPTURE(code);
    Fallback store;
    CHECK_FALSE(store.fails(FailureClass::limited, code));
    CHECK_FALSE(store.fails(FailureClass::limited, code));
    store.time_passes();
    CHECK(store.fails(FailureClass::limited, std::string(code) == "on_hold" ? "rate_limit" : "on_hold"));
  }
}

TEST_CASE("what is no doing of the CA leads nobody to the fallback") {
  struct Case {
    FailureClass failure_class;
    std::string code;
  };
  for (const Case& one :
       {Case{FailureClass::validation, "dns"}, Case{FailureClass::administrative, "userActionRequired"},
        Case{FailureClass::transient, "internal"}, Case{FailureClass::limited, "ca_busy"},
        Case{FailureClass::limited, "recent_failure"}}) {
    CAPTURE(one.code);
    Fallback store;
    for (int i = 0; i < 4; ++i) CHECK_FALSE(store.fails(one.failure_class, one.code));
    store.time_passes();
    CHECK_FALSE(store.falls_back());
  }
}

TEST_CASE("a renewal goes to the fallback once half of the time between its due date and its end is over") {
  Fallback store;
  store.issue_next("01");
  const auto days_left = [&](int days) {
    const std::string end = "now() + interval '" + std::to_string(days) + " days'";
    store.sql.run("UPDATE csrq.request SET not_after = " + end + ", renew_at = " + end +
                  " - interval '30 days', not_before = " + end + " - interval '90 days'");
  };
  REQUIRE(store::renew(store.database, store.id));
  days_left(16);
  for (int i = 0; i < 4; ++i) CHECK_FALSE(store.fails(FailureClass::transient));
  days_left(14);
  CHECK(store.fails(FailureClass::transient));
}

TEST_CASE("a row that its worker has lost goes on at the CA where it was") {
  Fallback store;
  for (int i = 0; i < 3; ++i) store.fails(FailureClass::transient);
  const auto claim = store.claim_row();
  REQUIRE(store.look(claim).falls_back);
  store.ready_order(claim.fence);
  SUBCASE("the worker stopped") {
    store::worker_stop(store.database, store.worker);
    store.worker = store::worker_start(store.database, "host", 2, "test");
  }
  SUBCASE("the worker died") {
    store.worker_dies();
    REQUIRE(store::rescue(store.database) == 1);
    store.worker = store::worker_start(store.database, "host", 2, "test");
  }
  SUBCASE("its CA has not finished") {
    Failure busy = some_failure(FailureClass::limited);
    busy.code = "ca_busy";
    REQUIRE(store::put_off(store.database, claim.fence, std::chrono::hours(1), &busy));
  }
  const auto decision = store.look(store.claim_row());
  CHECK(decision.falls_back);
  CHECK(decision.open_directory == "https://ca.example/dir");
}

TEST_CASE("a row says which CA has issued its chain") {
  Fallback store;
  store.issue_next("01");
  CHECK(store.request(store.id, "issued_by") == "ca");
  CHECK(store::status(store.database, {.id = store.id}).at(0).issued_by == "ca");
}
