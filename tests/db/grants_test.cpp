#include "store/grants.hpp"

#include <doctest/doctest.h>

#include <map>

#include "db/store_fixture.hpp"
#include "store/before_order.hpp"
#include "store/migrations.hpp"

using namespace csrq;
using namespace csrq::test;

namespace {

using Names = std::vector<std::string>;

/// A database in which apps insert, and a worker that asks what they may have.
struct Granting : Store {
  /// A login of csrq_app that may act for `customer`.
  std::string app(const std::string& name, const std::string& customer = "acme") {
    urls[name] = test.url_as(name);
    sql.run("GRANT csrq_app TO " + name);
    if (!customer.empty()) allow(name, customer);
    return name;
  }
  void allow(const std::string& role, const std::string& customer) {
    sql.run("INSERT INTO csrq.app_access VALUES ('" + role + "', '" + customer + "')");
  }
  void grant(const std::string& pattern) {
    sql.run("INSERT INTO csrq.name_grant VALUES ('acme', '" + pattern + "')");
  }

  /// A row of acme that this login inserts, and that the worker holds.
  store::Fence row_of(const std::string& login) {
    Sql(urls.at(login)).run("INSERT INTO csrq.request (customer, csr) VALUES ('acme', 'x')");
    return claim_one().fence;
  }
  store::Fence row_of_superuser() {
    submit();
    return claim_one().fence;
  }

  /// `demand`: rows with the same one may share a chain.
  store::Decision decision(const store::Fence& fence, const Names& names, char demand) {
    return store::before_order(
        database, fence, {.names = names, .demand_sha256 = std::string(32, demand), .may_fall_back = false});
  }
  /// "": it may ask for these names.
  std::string refusal(const store::Fence& fence, const Names& names = {"a.example"}) {
    const store::Decision decided = decision(fence, names, static_cast<char>(store::number(fence.request)));
    REQUIRE((decided.verdict == store::Verdict::order || decided.verdict == store::Verdict::not_granted));
    return decided.verdict == store::Verdict::order ? "" : decided.detail;
  }

  std::map<std::string, std::string> urls{};
};

bool says(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("of the names asked for, those that no grant covers are named") {
  Store store;
  store.sql.run(
      "INSERT INTO csrq.name_grant VALUES ('acme', 'example.org'), ('acme', '*.example.org'), ('other', "
      "'other.org')");
  const auto ungranted = [&](const std::string& names) {
    return store.sql.value("SELECT csrq.ungranted_names('acme', '{" + names + "}')");
  };
  CHECK(ungranted("example.org,a.b.example.org,*.example.org") == "{}");
  CHECK(ungranted("notexample.org,other.org,a.example.org") == "{notexample.org,other.org}");
}

TEST_CASE("an app that is limited to customers gets the names that are granted to them, and no others") {
  Granting world;
  const store::Fence row = world.row_of(world.app("grants_shop"));
  world.grant("*.acme.example");
  CHECK(world.refusal(row, {"www.acme.example"}).empty());
  const std::string refusal = world.refusal(row, {"shop.alice.example", "www.acme.example"});
  CHECK(says(refusal, "customer \"acme\" may not ask for shop.alice.example:"));
  CHECK(says(refusal, "login \"grants_shop\", which inserted the row, is limited to it"));
}

TEST_CASE("a refused row says for which names it asked") {
  Granting world;
  const store::Fence row = world.row_of(world.app("grants_shop"));
  REQUIRE_FALSE(world.refusal(row, {"a.example", "b.example"}).empty());
  CHECK(world.request(row.request, "names") == "{a.example,b.example}");
}

TEST_CASE("a CSR with very many names that are not granted is refused in a short sentence") {
  Granting world;
  const store::Fence row = world.row_of(world.app("grants_shop"));
  Names names;
  for (int i = 10; i < 100; ++i) names.push_back("n" + std::to_string(i) + ".example");
  CHECK(says(world.refusal(row, names), "n19.example and 80 others: csrq.name_grant"));
}

TEST_CASE("whom csrq.app_access limits to nobody may ask for anything") {
  Granting world;
  CHECK(world.refusal(world.row_of_superuser()).empty());
  CHECK(world.refusal(world.row_of(world.app("grants_all", "*"))).empty());
  for (const std::string role : {"csrq_worker", "csrq_admin", "csrq_owner"}) {
    CAPTURE(role);
    const std::string login = world.app("grants_" + role);
    world.sql.run("GRANT " + role + " TO " + login);
    CHECK(world.refusal(world.row_of(login)).empty());
  }
}

TEST_CASE("membership of a group counts, and * wins") {
  Granting world;
  const std::string login = world.app("grants_shop");
  world.app("grants_group", "acme");
  world.sql.run("GRANT grants_group TO grants_shop");
  const store::Fence row = world.row_of(login);
  CHECK_FALSE(world.refusal(row).empty());
  world.allow("grants_group", "*");
  CHECK(world.refusal(row).empty());
}

TEST_CASE("what the login may do now counts, not what it might when it inserted the row") {
  Granting world;
  const store::Fence row = world.row_of(world.app("grants_all", "*"));
  REQUIRE(world.refusal(row).empty());
  SUBCASE("its right to all customers was taken away") {
    world.sql.run("UPDATE csrq.app_access SET customer = 'acme'");
    CHECK_FALSE(world.refusal(row).empty());
  }
  SUBCASE("it may act for no customer any more") {
    world.sql.run("DELETE FROM csrq.app_access");
    CHECK_FALSE(world.refusal(row).empty());
  }
  SUBCASE("the grant was taken away") {
    world.sql.run("UPDATE csrq.app_access SET customer = 'acme'");
    world.grant("a.example");
    REQUIRE(world.refusal(row).empty());
    world.sql.run("DELETE FROM csrq.name_grant");
    CHECK_FALSE(world.refusal(row).empty());
  }
}

TEST_CASE("a login that is no more, or has another name, may ask for what is granted") {
  Granting world;
  const store::Fence row = world.row_of(world.app("grants_all", "*"));
  SUBCASE("dropped") {
    world.sql.run("REVOKE csrq_app FROM grants_all; DROP ROLE grants_all");
  }
  SUBCASE("renamed") {
    world.sql.run("ALTER ROLE grants_all RENAME TO grants_other");
  }
  CHECK(says(world.refusal(row), "login \"grants_all\", which inserted the row, does not exist any more"));
  world.grant("a.example");
  CHECK(world.refusal(row).empty());
  world.sql.run("DROP ROLE IF EXISTS grants_other; CREATE ROLE grants_all");  // for the fixture to drop
}

TEST_CASE("an app can pass off its rows as nobody else's") {
  Granting world;
  Sql app(world.test.url_as(world.app("grants_shop")));
  CHECK(says(
      app.refusal("INSERT INTO csrq.request (customer, csr, created_by) VALUES ('acme', 'x', 'postgres')"),
      "permission denied"));
  CHECK(says(app.refusal("SET ROLE csrq_owner"), "permission denied"));
  CHECK(says(app.refusal("SET SESSION AUTHORIZATION postgres"), "permission denied"));
  app.run("SET ROLE csrq_app");
  app.run("INSERT INTO csrq.request (customer, csr) VALUES ('acme', 'x')");
  const store::Fence row = world.claim_one().fence;
  CHECK(world.request(row.request, "created_by") == "grants_shop");
  CHECK_FALSE(world.refusal(row).empty());
  CHECK(says(app.refusal("UPDATE csrq.request SET created_by = 'postgres'"), "permission denied"));
  CHECK(says(app.refusal("SELECT csrq.put_grants_in_force('off')"), "permission denied"));
}

TEST_CASE("the chain of a row that might ask is not handed to one that may not") {
  Granting world;
  const store::Fence first = world.row_of_superuser();
  REQUIRE(world.decision(first, {"a.example"}, 'd').verdict == store::Verdict::order);
  REQUIRE(store::complete(world.database, first, Store::issued(world.ready_order(first), "0a")));
  const store::Fence second = world.row_of(world.app("grants_shop"));
  CHECK(world.decision(second, {"a.example"}, 'd').verdict == store::Verdict::not_granted);
  CHECK(world.request(second.request, "chain").empty());
  world.grant("a.example");
  CHECK(world.decision(second, {"a.example"}, 'd').verdict == store::Verdict::issued);
}

TEST_CASE("customers.grants: enforce holds everybody to the grants, off nobody") {
  Granting world;
  const store::Fence superusers = world.row_of_superuser();
  const store::Fence apps = world.row_of(world.app("grants_shop"));
  CHECK(store::put_grants_in_force(world.database, Grants::enforce));
  CHECK_FALSE(store::put_grants_in_force(world.database, Grants::enforce));
  CHECK(says(world.refusal(superusers), "may not ask for a.example: csrq.name_grant lists"));
  CHECK_FALSE(world.refusal(apps).empty());
  CHECK(store::put_grants_in_force(world.database, Grants::off));
  CHECK(world.refusal(superusers).empty());
  CHECK(world.refusal(apps).empty());
}

TEST_CASE("csrq migrate puts customers.grants in force, auto where nothing is configured") {
  Store store;
  const auto in_force = [&] {
    return store.sql.value("SELECT value FROM csrq.setting WHERE name = 'customers.grants'");
  };
  CHECK(in_force() == "auto");
  CHECK(store::migrate(store.database, {.grants = Grants::enforce}) == Names{"customers.grants: enforce"});
  CHECK(in_force() == "enforce");
}

TEST_CASE("of the logins, those are apps' that are nobody else's") {
  Granting world;
  CHECK(store::grants_report(world.database).app_logins == 0);
  world.app("grants_shop");
  world.app("grants_all", "*");
  world.sql.run("GRANT csrq_worker TO " + world.app("grants_worker"));
  const store::GrantsReport report = store::grants_report(world.database);
  CHECK(report.app_logins == 2);
  CHECK(report.limited_app_logins == 1);
}
