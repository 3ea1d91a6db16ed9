#include <doctest/doctest.h>

#include <algorithm>

#include "base/error.hpp"
#include "db/store_fixture.hpp"
#include "store/renewals.hpp"

using namespace csrq;
using namespace csrq::test;

namespace {

/// Issued rows whose renewals are planned.
struct Portfolio : Store {
  /// `count` certificates that live `lifetime` days, to be renewed in `ahead` days, evenly over that day.
  void renewals(int count, int ahead, int lifetime = 90) {
    const std::string number = std::to_string(count);
    sql.run("INSERT INTO csrq.request (customer, csr) SELECT 'acme', '" + some_csr +
            "' FROM generate_series(1, " + number + ")");
    sql.run(
        "UPDATE csrq.request SET status = 'issued', serial = '01', chain = '-----BEGIN CERTIFICATE-----', "
        "renew_at = at, not_before = at - " +
        std::to_string(lifetime) + " * interval '16 hours', not_after = at + " + std::to_string(lifetime) +
        " * interval '8 hours' FROM (SELECT id AS of, ((now() AT TIME ZONE 'UTC')::date + " +
        std::to_string(ahead) +
        ")::timestamp AT TIME ZONE 'UTC' + interval '1 day' * (row_number() OVER (ORDER BY id) - 0.5) / " +
        number + " AS at FROM csrq.request WHERE status = 'pending') planned WHERE id = of");
    sql.run("DELETE FROM csrq.job");
    sql.run(
        "INSERT INTO csrq.renewal (request_id, renew_at) SELECT id, renew_at FROM csrq.request r "
        "WHERE NOT EXISTS (SELECT FROM csrq.renewal n WHERE n.request_id = r.id)");
  }

  std::int64_t spread(int days, int batch = 10'000) {
    std::int64_t moved = 0;
    for (const auto& move : store::spread_plan(database, days))
      moved += store::move_renewals(database, move, days, batch);
    return moved;
  }

  std::vector<std::int64_t> load(int days) {
    std::vector<std::int64_t> load;
    for (const auto& day : store::renewal_plan(database, days)) load.push_back(day.renewals);
    return load;
  }
};

}  // namespace

TEST_CASE("the renewal plan: a line a day; today's has what is overdue") {
  Portfolio portfolio;
  portfolio.renewals(3, 2);
  portfolio.renewals(2, -5);
  portfolio.renewals(1, 100);
  CHECK(portfolio.load(4) == std::vector<std::int64_t>{2, 0, 3, 0});
  const auto plan = store::renewal_plan(portfolio.database, 101);
  REQUIRE(plan.size() == 101);
  CHECK(plan.back().renewals == 1);
  CHECK(plan.front().day == portfolio.sql.value("SELECT (now() AT TIME ZONE 'UTC')::date"));
  CHECK_THROWS_AS(store::renewal_plan(portfolio.database, 0), UsageError);
}

TEST_CASE("spreading levels a spike: days within 5 % of each other, none later, none moved too far") {
  Portfolio portfolio;
  portfolio.renewals(2200, 40);
  portfolio.renewals(110, 80);
  portfolio.sql.run("CREATE TABLE before AS SELECT * FROM csrq.renewal");
  CHECK(portfolio.spread(10, 70) > 1900);

  const std::vector<std::int64_t> load = portfolio.load(90);
  for (std::size_t day = 30; day <= 40; ++day) CHECK(std::abs(load.at(day) - 200) <= 10);
  for (std::size_t day = 70; day <= 80; ++day) CHECK(std::abs(load.at(day) - 10) <= 1);
  CHECK(portfolio.sql.value(
            "SELECT count(*) FROM csrq.renewal n JOIN before b USING (request_id) WHERE n.renew_at > "
            "b.renew_at OR n.renew_at < b.renew_at - interval '240 hours'") == "0");
  CHECK(portfolio.sql.value("SELECT count(*) FROM csrq.renewal n JOIN before b USING (request_id) WHERE "
                            "coalesce(n.rule_at, n.renew_at) <> b.renew_at") == "0");
  CHECK(portfolio.sql.value(
            "SELECT count(*) FROM csrq.renewal n JOIN csrq.request r ON r.id = n.request_id WHERE n.renew_at "
            "<> r.renew_at") == "0");
  // Those that stay are spread over their day as before.
  CHECK(
      std::abs(
          std::stoi(portfolio.sql.value(
              "SELECT count(*) FROM csrq.renewal WHERE (renew_at AT TIME ZONE 'UTC')::date = (now() AT TIME "
              "ZONE 'UTC')::date + 40 AND (renew_at AT TIME ZONE 'UTC')::time < '12:00'")) -
          100) < 30);

  SUBCASE("a second run moves nothing, also with other batches") {
    CHECK(portfolio.spread(10) == 0);
    CHECK(portfolio.load(90) == load);
  }
  SUBCASE("nor does the function that a DBA calls") {
    CHECK(portfolio.sql.value("SELECT csrq.spread_renewals(10)") == "0");
  }
  SUBCASE("fewer days move nothing back, more days go on from there, counted from the rule") {
    CHECK(portfolio.spread(5) == 0);
    CHECK(portfolio.spread(20) > 0);
    CHECK(portfolio.load(90).at(40) <= 110);
    CHECK(portfolio.sql.value("SELECT count(*) FROM csrq.renewal n JOIN before b USING (request_id) WHERE "
                              "n.renew_at < b.renew_at - interval '480 hours'") == "0");
  }
}

TEST_CASE("spreading does the same whether in one transaction or in many") {
  Portfolio one;
  Portfolio other;
  for (Portfolio* portfolio : {&one, &other}) {
    portfolio->renewals(300, 20);
    portfolio->renewals(90, 22);
  }
  one.spread(7, 13);
  other.sql.run("SELECT csrq.spread_renewals(7)");
  CHECK(one.load(30) == other.load(30));
  const std::string ids =
      "SELECT md5(string_agg(request_id || ' ' || (renew_at AT TIME ZONE 'UTC')::date, ',' ORDER BY "
      "request_id)) FROM csrq.renewal";
  CHECK(one.sql.value(ids) == other.sql.value(ids));
}

TEST_CASE("spreading fills the days before a spike beside what they have, and leaves today alone") {
  Portfolio portfolio;
  portfolio.renewals(40, 0);
  portfolio.renewals(100, 3);
  portfolio.renewals(20, 2);
  portfolio.spread(30);
  const std::vector<std::int64_t> load = portfolio.load(4);
  CHECK(load.front() == 40);
  for (std::size_t day = 1; day <= 3; ++day) CHECK(std::abs(load.at(day) - 40) <= 2);
}

TEST_CASE("a certificate is not renewed in the first half of its time until its rule") {
  Portfolio portfolio;
  portfolio.renewals(100, 10, 6);
  portfolio.renewals(100, 30, 45);
  portfolio.spread(20);
  CHECK(portfolio.sql.value(
            "SELECT max(rule_at - renew_at) FROM csrq.renewal WHERE rule_at < now() + interval '12 days'") ==
        "2 days");
  CHECK(portfolio.sql.value("SELECT max(rule_at - renew_at) FROM csrq.renewal") == "15 days");
}

TEST_CASE("a spike is levelled by itself, by whoever looks first, once a day") {
  Portfolio portfolio;
  const auto level = [&] { return store::level_renewals(portfolio.database, 30, [] { return false; }); };
  const auto forget_the_look = [&] {
    portfolio.sql.run("UPDATE csrq.renewal_pace SET looked_at = now() - interval '1 day'");
  };
  portfolio.renewals(600, 20);
  CHECK(level() > 500);
  CHECK(std::ranges::max(portfolio.load(30)) < 40);

  portfolio.renewals(900, 25);
  CHECK(level() == 0);
  forget_the_look();
  CHECK(level() > 500);
}

TEST_CASE("what is no spike is not levelled: few renewals, or many on every day") {
  Portfolio portfolio;
  SUBCASE("few") {
    portfolio.renewals(499, 20);
  }
  SUBCASE("many on every day") {
    for (int day = 1; day <= 4; ++day) portfolio.renewals(500 + 100 * day, day);
  }
  SUBCASE("many today, which is over") {
    portfolio.renewals(900, 0);
  }
  SUBCASE("none") {}
  CHECK(store::level_renewals(portfolio.database, 30, [] { return false; }) == 0);
}

TEST_CASE("levelling ends between two moves when it is to stop") {
  Portfolio portfolio;
  portfolio.renewals(600, 20);
  CHECK(store::level_renewals(portfolio.database, 30, [] { return true; }) == 0);
}

TEST_CASE("an even portfolio is left alone") {
  Portfolio portfolio;
  for (int day = 1; day <= 20; ++day) portfolio.renewals(40 + day % 2, day);
  CHECK(portfolio.spread(10) == 0);
}

TEST_CASE("a renewal that was moved and then made is planned by its rule again") {
  Store store;
  const auto id = store.submit();
  store.issue_next("01");
  store.sql.run("UPDATE csrq.renewal SET rule_at = renew_at, renew_at = renew_at - interval '3 days'");
  const auto again = store.sql.value("SELECT csrq.renew(" + std::to_string(store::number(id)) + ")");
  CHECK(again == "t");
  store.issue_next("02");
  CHECK(store.sql.value("SELECT count(*) FROM csrq.renewal WHERE rule_at IS NULL") == "1");
}

TEST_CASE("rows that somebody else has are passed over; what cannot be a plan is refused") {
  Portfolio portfolio;
  portfolio.renewals(20, 5);
  const auto moves = store::spread_plan(portfolio.database, 1);
  REQUIRE(moves.size() == 1);
  CHECK(moves.front().renewals == 10);
  {
    pqxx::connection other(portfolio.test.url());
    pqxx::work holder(other);
    holder.exec("SELECT FROM csrq.renewal LIMIT 15 FOR UPDATE");
    CHECK(store::move_renewals(portfolio.database, moves.front(), 1) == 5);
  }
  store::RenewalMove backwards = moves.front();
  std::swap(backwards.from, backwards.to);
  CHECK(store::move_renewals(portfolio.database, backwards, 1) == 0);
  CHECK_THROWS_AS(store::spread_plan(portfolio.database, 0), UsageError);
  CHECK_THROWS_AS(store::spread_plan(portfolio.database, 91), UsageError);
}

TEST_CASE("apps see the plan of their own renewals, and move nothing") {
  Portfolio portfolio;
  portfolio.renewals(2, 1);
  portfolio.sql.run("SET ROLE csrq_worker");
  CHECK(portfolio.sql.refusal("SELECT csrq.spread_renewals(5)").find("permission denied") !=
        std::string::npos);
  portfolio.sql.run("RESET ROLE; SET ROLE csrq_app");
  CHECK(portfolio.sql.value("SELECT sum(renewals) FROM csrq.renewal_plan(3)") == "0");
  CHECK(portfolio.sql.refusal("SELECT csrq.spread_renewals(5)").find("permission denied") !=
        std::string::npos);
  CHECK(portfolio.sql.refusal("SELECT * FROM csrq.spread_plan(5)").find("permission denied") !=
        std::string::npos);
}
