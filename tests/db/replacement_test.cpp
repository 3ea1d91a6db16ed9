#include <doctest/doctest.h>

#include "base/error.hpp"
#include "db/store_fixture.hpp"

using namespace csrq;
using namespace csrq::test;

namespace {

/// A row that is issued, and others that take its place.
struct Replacements : Store {
  store::RequestId replace(store::RequestId former) { return submit({.replaces = former}); }

  void make_due(store::RequestId id) {
    sql.run("UPDATE csrq.job SET run_at = now() - interval '1 hour' WHERE request_id = " + text(id));
  }
  store::Claim claim_row(store::RequestId id) {
    make_due(id);
    store::Claim claim = claim_one();
    REQUIRE(claim.fence.request == id);
    return claim;
  }
  void issue(store::RequestId id, const std::string& serial) {
    const auto claim = claim_row(id);
    REQUIRE(store::complete(database, claim.fence, issued(ready_order(claim.fence), serial)));
  }
  void fail(store::RequestId id, FailureClass failure_class) {
    REQUIRE(store::record_failure(database, claim_row(id).fence, some_failure(failure_class), schedule));
  }
  bool is_renewed(store::RequestId id) {
    return request(id, "auto_renew") == "t" &&
           sql.value("SELECT count(*) FROM csrq.renewal WHERE request_id = " + text(id)) == "1";
  }
  /// "" if nothing has taken its place.
  std::string replaced_by(store::RequestId id) { return request(id, "replaced_by"); }
  std::string last_event(store::RequestId id, const std::string& column) {
    return sql.value("SELECT " + column + " FROM csrq.event WHERE request_id = " + text(id) +
                     " ORDER BY id DESC LIMIT 1");
  }
  static std::string text(store::RequestId id) { return std::to_string(store::number(id)); }

  store::RequestId old{submit()};
  Replacements() { issue(old, "01"); }
};

bool says(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("when a row is issued, the one whose place it takes is not renewed any more, and says so") {
  Replacements store;
  const auto fresh = store.replace(store.old);
  CHECK(store.is_renewed(store.old));
  store.issue(fresh, "02");
  CHECK(store.request(store.old, "status") == "issued");
  CHECK(store.request(store.old, "serial") == "01");
  CHECK(store.request(store.old, "renew_at") == "");
  CHECK_FALSE(store.is_renewed(store.old));
  CHECK(store.is_renewed(fresh));
  CHECK(store.last_event(store.old, "what || ' ' || (detail ->> 'by_request')") == "replaced 2");
  const auto lines = store::status(store.database, {.id = store.old});
  CHECK(lines.at(0).replaced_by == fresh);
  CHECK(store::status(store.database, {.id = fresh}).at(0).replaces == store.old);
}

TEST_CASE("while the new row fails, the old one goes on being renewed") {
  Replacements store;
  const auto fresh = store.replace(store.old);
  SUBCASE("for now") {
    store.fail(fresh, FailureClass::validation);
  }
  SUBCASE("for good") {
    store.fail(fresh, FailureClass::permanent);
  }
  SUBCASE("because it was cancelled") {
    store::cancel(store.database, fresh);
  }
  SUBCASE("because it was deleted") {
    store.sql.run("DELETE FROM csrq.request WHERE id = " + store.text(fresh));
  }
  CHECK(store.is_renewed(store.old));
  CHECK(store.replaced_by(store.old) == "");
}

TEST_CASE("a renewal of the old row that is open when the new one is issued ends with it") {
  Replacements store;
  const auto fresh = store.replace(store.old);
  REQUIRE(store::renew(store.database, store.old));
  SUBCASE("it waits") {
    store.issue(fresh, "02");
    CHECK(store.job(store.old, "status") == "");
  }
  SUBCASE("it has failed and waits for a person") {
    store.sql.run("UPDATE csrq.job SET run_at = now() + interval '1 hour' WHERE request_id = 2");
    store.fail(store.old, FailureClass::permanent);
    store.issue(fresh, "02");
    CHECK(store.job(store.old, "status") == "");
    CHECK(store.request(store.old, "error") == "");
  }
  SUBCASE("a worker is busy with it") {
    store.sql.run("UPDATE csrq.job SET run_at = now() + interval '1 hour' WHERE request_id = 2");
    const auto busy = store.claim_row(store.old);
    const auto order = store.ready_order(busy.fence);
    store.issue(fresh, "02");
    CHECK(store.job(store.old, "cancel_requested") == "t");
    SUBCASE("and stops") {
      CHECK_THROWS_AS(store::begin_finalize(store.database, busy.fence, order), store::LeaseLost);
      CHECK(store::drop_cancelled(store.database, busy.fence));
    }
    SUBCASE("and is too fast to be stopped") {
      CHECK_FALSE(store::complete(store.database, busy.fence, Store::issued(order, "03")));
      CHECK(store.count("certificate") == "3");
    }
    SUBCASE("and dies") {
      store.worker_dies();
      CHECK(store::rescue(store.database) == 1);
    }
    CHECK(store.job(store.old, "status") == "");
    CHECK(store.request(store.old, "serial") == "01");
    CHECK(store.count("acme_order WHERE closed_at IS NULL") == "0");
  }
  CHECK(store.request(store.old, "status") == "issued");
  CHECK_FALSE(store.is_renewed(store.old));
}

TEST_CASE("a row without a certificate is cancelled when the one that takes its place is issued") {
  Replacements store;
  const auto pending = store.replace(store.old);
  const auto fresh = store.replace(pending);
  SUBCASE("it is pending") {}
  SUBCASE("it has failed for good") {
    store.fail(pending, FailureClass::permanent);
  }
  store.issue(fresh, "02");
  CHECK(store.request(pending, "status") == "cancelled");
  CHECK(store.job(pending, "status") == "");
  CHECK(says(store.last_event(pending, "detail ->> 'reason'"), "request 3 replaces it"));
  // And the one before it, which it has never ended.
  CHECK(store.replaced_by(store.old) == "3");
  CHECK_FALSE(store.is_renewed(store.old));
}

TEST_CASE("in a line of replacements each issued row ends the one before it") {
  Replacements store;
  const auto second = store.replace(store.old);
  store.issue(second, "02");
  const auto third = store.replace(second);
  store.issue(third, "03");
  CHECK(store.replaced_by(store.old) == "2");
  CHECK(store.replaced_by(second) == "3");
  CHECK_FALSE(store.is_renewed(second));
  CHECK(store.is_renewed(third));
  REQUIRE(store::renew(store.database, third));
  store.issue(third, "04");
  CHECK(store.sql.value("SELECT count(*) FROM csrq.event WHERE what = 'replaced'") == "2");
}

TEST_CASE("a revocation that was asked for goes on when the row is replaced") {
  Replacements store;
  const auto fresh = store.replace(store.old);
  REQUIRE(store::revoke(store.database, store.old, 1));
  store.sql.run("UPDATE csrq.job SET run_at = now() + interval '1 hour' WHERE request_id = 1");
  store.issue(fresh, "02");
  CHECK(store.job(store.old, "kind || cancel_requested") == "revokefalse");
}

TEST_CASE(
    "a row takes the place only of one of its customer that is there already, and of the same one for ever") {
  Replacements store;
  const auto refusal = [&](const std::string& customer, const std::string& of) {
    return store.sql.refusal("INSERT INTO csrq.request (customer, csr, replaces_id) VALUES ('" + customer +
                             "', 'x', " + of + ")");
  };
  CHECK(says(refusal("other", "1"), "customer \"other\" has no request 1 that another one could replace"));
  CHECK(says(refusal("acme", "99"), "has no request 99"));
  CHECK(
      says(store.sql.refusal("INSERT INTO csrq.request (id, customer, csr, replaces_id) VALUES (50, 'acme', "
                             "'x', 50)"),
           "has no request 50"));
  const auto fresh = store.replace(store.old);
  CHECK(says(store.sql.refusal("UPDATE csrq.request SET replaces_id = 2 WHERE id = 1"), "cannot be changed"));
  store.sql.run("DELETE FROM csrq.request WHERE id = 1");
  CHECK(store.request(fresh, "replaces_id") == "");
}
