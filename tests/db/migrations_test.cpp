#include "store/migrations.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <future>

#include "base/error.hpp"
#include "db/store_fixture.hpp"

using namespace csrq;
using namespace csrq::test;

TEST_CASE("an empty database is migrated once, and a second migrate does nothing") {
  store::Database database({.url = empty_database_url()});
  CHECK(store::schema_status(database).installed == 0);
  CHECK(refusal_of([&] { store::require_schema(database); }).find("csrq migrate") != std::string::npos);

  const auto applied = store::migrate(database, {});
  REQUIRE_FALSE(applied.empty());
  CHECK(applied.front() == "0001_roles_and_schema");
  CHECK(store::migrate(database, {}).empty());

  const auto status = store::schema_status(database);
  CHECK(status.installed == status.known);
  CHECK(status.pending.empty());
  CHECK(status.functions_current);
  CHECK_NOTHROW(store::require_schema(database));
}

TEST_CASE("of two migrations at once, one migrates and the other waits for it") {
  const std::string url = empty_database_url();
  const auto migrate = [&] {
    store::Database database({.url = url});
    return store::migrate(database, {}).size();
  };
  auto other = std::async(std::launch::async, migrate);
  const std::size_t mine = migrate();
  const std::size_t theirs = other.get();
  CHECK(((mine == 0) != (theirs == 0)));
}

TEST_CASE("a schema that is newer than the program is left alone and refused") {
  Store store;
  store.sql.run("INSERT INTO csrq.schema_version (version, name) VALUES (999, 'from the future')");
  CHECK(refusal_of([&] { store::migrate(store.database, {}); }).find("newer than this csrq") !=
        std::string::npos);
  CHECK(refusal_of([&] { store::require_schema(store.database); }).find("newer than this csrq") !=
        std::string::npos);
}

TEST_CASE("an older schema is refused until it is migrated") {
  Store store;
  store.sql.run(
      "DELETE FROM csrq.schema_version WHERE version = (SELECT max(version) FROM csrq.schema_version)");
  const auto status = store::schema_status(store.database);
  CHECK(status.pending.size() == 1);
  CHECK(refusal_of([&] { store::require_schema(store.database); }).find("this csrq needs") !=
        std::string::npos);
}

TEST_CASE("a schema from before 0.1.0 is refused, however far it was migrated, and can be made anew") {
  Store store;
  const std::string newest = store.sql.value("SELECT max(version) FROM csrq.schema_version");
  store.sql.run("TRUNCATE csrq.schema_version");
  store.sql.run("INSERT INTO csrq.schema_version (version, name) VALUES (1, '0001_roles_and_customers')");
  SUBCASE("to fewer migrations than there are now") {}
  SUBCASE("to as many") {
    store.sql.run(
        "INSERT INTO csrq.schema_version (version, name) SELECT n, 'former ' || n FROM "
        "generate_series(2, " +
        newest + ") n");
  }
  SUBCASE("to more") {
    store.sql.run("INSERT INTO csrq.schema_version (version, name) VALUES (31, '0031_wishes')");
  }
  for (const auto& command : std::vector<std::function<void()>>{
           [&] { store::migrate(store.database, {}); }, [&] { store::schema_status(store.database); },
           [&] { store::require_schema(store.database); }}) {
    const std::string refusal = refusal_of(command);
    CAPTURE(refusal);
    CHECK(refusal.find("made before 0.1.0 (by migration 0001_roles_and_customers") != std::string::npos);
    CHECK(refusal.find("DROP SCHEMA csrq CASCADE") != std::string::npos);
  }
  store.sql.run("DROP SCHEMA csrq CASCADE");
  CHECK_FALSE(store::migrate(store.database, {}).empty());
  CHECK_NOTHROW(store::require_schema(store.database));
}

TEST_CASE("changed functions are applied again, migrations are not") {
  Store store;
  store.sql.run("UPDATE csrq.setting SET value = 'others' WHERE name = 'functions_sha256'");
  store.sql.run("DROP VIEW csrq.workers");
  CHECK(refusal_of([&] { store::require_schema(store.database); }).find("functions") != std::string::npos);
  const auto applied = store::migrate(store.database, {});
  CHECK(std::find(applied.begin(), applied.end(), "queue/claim") != applied.end());
  CHECK(std::find(applied.begin(), applied.end(), "0001_roles_and_schema") == applied.end());
  CHECK(store.sql.refusal("SELECT FROM csrq.workers").empty());
  CHECK_NOTHROW(store::require_schema(store.database));
}

TEST_CASE("customers.register: closed reaches the database with migrate") {
  Store store;
  CHECK(store::migrate(store.database, {.registration = CustomerRegistration::closed}).size() == 1);
  CHECK(refusal_of([&] {
          store.submit({.customer = "stranger"});
        }).find("customer \"stranger\" is not registered") != std::string::npos);
  store.sql.run("INSERT INTO csrq.customer (name) VALUES ('stranger')");
  CHECK_NOTHROW(store.submit({.customer = "stranger"}));
}

TEST_CASE("a login that may not migrate is told what it lacks") {
  TestDatabase test;
  Sql sql(test.url());
  {
    store::Database database({.url = test.url_as("csrq_test_nobody")});
    CHECK(refusal_of([&] { store::schema_status(database); }).find("may not use the schema csrq") !=
          std::string::npos);
  }
  store::Database database({.url = test.url_as("csrq_test_admin")});
  sql.run("GRANT csrq_admin TO csrq_test_admin");
  CHECK(refusal_of([&] { store::migrate(database, {}); }).find("csrq_owner") != std::string::npos);
  sql.run("UPDATE csrq.setting SET value = 'others' WHERE name = 'functions_sha256'");
  sql.run("GRANT csrq_owner TO csrq_test_admin");
  CHECK_FALSE(store::migrate(database, {}).empty());
}

TEST_CASE(
    "an empty database is migrated by whoever may create a schema in it and is a member of csrq_owner") {
  TestDatabase with_roles;
  const std::string url = empty_database_url();
  Sql sql(url);
  const std::string name = sql.value("SELECT current_database()");
  std::string url_as = with_roles.url_as("csrq_test_migrator");
  const std::string other_name = Sql(with_roles.url()).value("SELECT current_database()");
  url_as.replace(url_as.find("/" + other_name) + 1, other_name.size(), name);
  {
    store::Database database({.url = url_as});
    CHECK(refusal_of([&] { store::migrate(database, {}); }).find("may not create a schema") !=
          std::string::npos);
    sql.run("GRANT CREATE ON DATABASE " + name + " TO csrq_test_migrator");
    CHECK(refusal_of([&] { store::migrate(database, {}); }).find("not a member of csrq_owner") !=
          std::string::npos);
    sql.run("GRANT csrq_owner TO csrq_test_migrator");
    CHECK_FALSE(store::migrate(database, {}).empty());
    CHECK_NOTHROW(store::require_schema(database));
  }
  sql.run("REVOKE CREATE ON DATABASE " + name + " FROM csrq_test_migrator");
}

TEST_CASE("a login that keeps migrate's lock is named, and migrate does not wait for it for ever") {
  TestDatabase test;
  store::Database database({.url = test.url()});
  Sql other(test.url_as("csrq_test_stranger"));
  other.run("SET application_name = 'a stranger''s tool'; SELECT pg_advisory_lock(1668510321)");
  try {
    store::migrate(database, {}, {.patience = std::chrono::milliseconds(200)});
    FAIL("it migrated");
  } catch (const TryAgain& error) {
    const std::string message = error.what();
    CAPTURE(message);
    CHECK(message.find("process " + other.value("SELECT pg_backend_pid()")) != std::string::npos);
    CHECK(message.find("login \"csrq_test_stranger\"") != std::string::npos);
    CHECK(message.find("a stranger's tool") != std::string::npos);
  }
  other.run("SELECT pg_advisory_unlock(1668510321)");
  CHECK(store::migrate(database, {}, {.patience = std::chrono::milliseconds(200)}).empty());
}
