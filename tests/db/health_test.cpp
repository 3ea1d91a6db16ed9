#include "store/health.hpp"

#include <doctest/doctest.h>

#include "base/error.hpp"
#include "db/store_fixture.hpp"

using namespace csrq;
using namespace csrq::test;
using namespace std::chrono_literals;

namespace {

struct Watched : Store {
  /// A certificate whose renewal is due, with `left` of its `lifetime`; `planned`: no worker has taken it up.
  store::RequestId ending(const std::string& left, const std::string& lifetime = "90 days",
                          bool planned = false) {
    const auto id = submit();
    const std::string number = std::to_string(store::number(id));
    sql.run(
        "UPDATE csrq.request SET status = 'issued', serial = '01', chain = '-----BEGIN CERTIFICATE-----', "
        "names = '{a.example}', not_after = now() + interval '" +
        left + "', not_before = now() + interval '" + left + "' - interval '" + lifetime +
        "' WHERE id = " + number);
    sql.run("DELETE FROM csrq.job WHERE request_id = " + number);
    if (planned)
      sql.run("INSERT INTO csrq.renewal VALUES (" + number + ", now() - interval '1 minute')");
    else
      sql.run("INSERT INTO csrq.job (request_id, customer, kind, lane, run_at) VALUES (" + number +
              ", 'acme', 'renew', 2, now() + interval '1 hour')");
    return id;
  }
  store::Health health(const std::string& customer = {}) {
    return store::health(database, 14 * 24h, 3 * 24h, customer);
  }
};

}  // namespace

TEST_CASE("health: certificates that end soon though their renewal is due, the first to end of them") {
  Watched watched;
  watched.ending("20 days");
  watched.ending("13 days");
  watched.ending("2 days");
  const auto first = watched.ending("-1 day", "90 days", true);
  const store::Health health = watched.health();
  CHECK(health.warning.certificates == 1);
  CHECK(health.critical.certificates == 2);
  CHECK(health.critical.request == store::number(first));
  CHECK(health.critical.customer == "acme");
  CHECK(health.critical.name == "a.example");
}

TEST_CASE("health: one that is not due yet, not to be renewed, or suspended is no news") {
  Watched watched;
  const auto id = watched.ending("2 days");
  const std::string number = std::to_string(store::number(id));
  SUBCASE("its renewal lies ahead") {
    watched.sql.run("DELETE FROM csrq.job");
    watched.sql.run("INSERT INTO csrq.renewal VALUES (" + number + ", now() + interval '1 day')");
  }
  SUBCASE("auto_renew is off") {
    watched.sql.run("UPDATE csrq.request SET auto_renew = false");
  }
  SUBCASE("its customer is suspended") {
    watched.sql.run("SELECT csrq.suspend('acme')");
  }
  CHECK(watched.health().critical.certificates == 0);
  CHECK(watched.health().warning.certificates == 0);
}

TEST_CASE("health: short-lived certificates have shorter thresholds") {
  Watched watched;
  watched.ending("60 hours", "160 hours");
  CHECK(watched.health().warning.certificates == 0);
  watched.ending("20 hours", "160 hours");
  CHECK(watched.health().warning.certificates == 1);
  watched.ending("5 hours", "160 hours");
  CHECK(watched.health().critical.certificates == 1);
}

TEST_CASE("health: failed rows, live workers, the oldest due row but for bulk ones") {
  Watched watched;
  watched.submit();
  const auto claim = watched.claim_one();
  REQUIRE(
      store::record_failure(watched.database, claim.fence, some_failure(FailureClass::permanent), schedule));
  watched.submit({.priority = "bulk"});
  watched.sql.run("UPDATE csrq.job SET run_at = now() - interval '9 hours' WHERE lane = 3");
  CHECK(watched.health().need_person == 1);
  CHECK(watched.health().workers == 1);
  CHECK(watched.health().due == 0);
  watched.submit();
  watched.sql.run(
      "UPDATE csrq.job SET run_at = now() - interval '7 hours' WHERE lane = 1 AND status = 'ready'");
  CHECK(watched.health().due == 1);
  CHECK(watched.health().longest_due >= 7h);
  watched.worker_dies();
  CHECK(watched.health().workers == 0);
}

TEST_CASE("health: of one customer only; one that does not exist is a mistake") {
  Watched watched;
  watched.ending("2 days");
  watched.submit({.customer = "other"});
  CHECK(watched.health("other").critical.certificates == 0);
  CHECK(watched.health("other").due == 1);
  CHECK(watched.health("acme").critical.certificates == 1);
  CHECK_THROWS_AS(watched.health("acmee"), UsageError);
}
