#include "store/sql.hpp"

#include <doctest/doctest.h>

#include <stdexcept>

#include "db/store_fixture.hpp"

using namespace csrq;
using namespace csrq::test;

TEST_CASE("one value is read of one row of one column, and of nothing else") {
  Store store;
  store.database.run([](pqxx::transaction_base& transaction) {
    CHECK(store::one_value(transaction, "SELECT $1::int + 1", {41}).as<int>() == 42);
    CHECK(store::one_value(transaction, "SELECT NULL::int").is_null());
    for (const char* statement : {"SELECT 1 WHERE false", "SELECT 1 UNION SELECT 2", "SELECT 1, 2", "SELECT"})
      CHECK_THROWS_AS(store::one_value(transaction, statement), std::logic_error);
  });
  CHECK(store::ask<std::string>(store.database, "SELECT $1::text || 'b'", {"a"}) == "ab");
  CHECK_THROWS_AS(store::ask_or_refuse<bool>(store.database, "SELECT csrq.renew(99)"), store::WrongRow);
}
