#include "store/database_clock.hpp"

#include <doctest/doctest.h>

#include "db/store_fixture.hpp"

using namespace std::chrono_literals;
using namespace csrq;
using namespace csrq::test;

TEST_CASE("the clock is the database's, and goes on between two readings") {
  Store store;
  store.sql.run(
      "CREATE OR REPLACE FUNCTION csrq.clock() RETURNS timestamptz LANGUAGE sql AS "
      "$$ SELECT clock_timestamp() + interval '3 hours' $$");
  store::DatabaseClock clock;
  CHECK(std::chrono::abs(clock.now() - now()) < 1s);  // before the first reading it is this machine's
  clock.read(store.database);
  const Time first = clock.now();
  CHECK(std::chrono::abs(first - (now() + 3h)) < 10s);
  CHECK(clock.now() >= first);
}
