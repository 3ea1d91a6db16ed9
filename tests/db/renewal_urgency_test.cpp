#include <doctest/doctest.h>

#include "db/store_fixture.hpp"

using namespace csrq;
using namespace csrq::test;

namespace {

struct Due : Store {
  /// A certificate whose renewal is due; null: no deadline.
  store::RequestId due(const std::string& deadline, const std::string& not_after) {
    const auto id = submit();
    issue_next(std::to_string(++issued_));
    sql.run("UPDATE csrq.renewal SET renew_at = now() - interval '1 minute', deadline = now() + interval '" +
            deadline + "', not_after = now() + interval '" + not_after +
            "' WHERE request_id = " + std::to_string(store::number(id)));
    if (deadline == "0")
      sql.run("UPDATE csrq.renewal SET deadline = NULL WHERE deadline = now() OR request_id = " +
              std::to_string(store::number(id)));
    return id;
  }
  bool queued(store::RequestId id) { return !job(id, "status").empty(); }

 private:
  int issued_{};
};

}  // namespace

TEST_CASE("due renewals enter the queue by their deadline, else by their expiry") {
  Due store;
  const auto late = store.due("0", "30 days");
  const auto window = store.due("5 days", "30 days");
  const auto short_lived = store.due("0", "3 days");
  const auto revoked_first = store.due("1 day", "20 days");
  const auto revoked_next = store.due("1 day", "40 days");
  store.sql.run(
      "UPDATE csrq.renewal n SET deadline = (SELECT min(deadline) FROM csrq.renewal) WHERE deadline < now() "
      "+ interval '2 days'");
  for (const auto id : {revoked_first, revoked_next, short_lived, window, late}) {
    CHECK(store::renew_due(store.database, 1) == 1);
    CHECK(store.queued(id));
  }
}

TEST_CASE("a renewal whose window is about to end waits for no cap, and counts") {
  Due store;
  const auto pressing = store.due("1 hour", "30 days");
  const auto passed = store.due("-1 hour", "30 days");
  const auto open = store.due("1 day", "30 days");
  store.sql.run("UPDATE csrq.renewal_pace SET at = ARRAY[clock_timestamp()], moved = ARRAY[5::bigint]");
  CHECK(store::renew_due(store.database, 10, 5) == 1);
  CHECK(store.queued(pressing));
  CHECK(!store.queued(passed));
  CHECK(!store.queued(open));
  CHECK(store.sql.value("SELECT moved[2] FROM csrq.renewal_pace") == "1");
}

TEST_CASE(
    "windows that have all moved into the past are worked off within the caps, those first that end first") {
  Due store;
  const auto third = store.due("-1 hour", "30 days");
  const auto first = store.due("-3 hours", "30 days");
  const auto second = store.due("-1 hour", "20 days");
  store.sql.run("UPDATE csrq.renewal SET deadline = date_trunc('hour', deadline)");
  CHECK(store::renew_due(store.database, 2, 2) == 2);
  CHECK(store.queued(first));
  CHECK(store.queued(second));
  CHECK(!store.queued(third));
  CHECK(store::renew_due(store.database, 2, 2) == 0);
}
