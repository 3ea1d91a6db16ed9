#include <doctest/doctest.h>

#include "db/store_fixture.hpp"
#include "store/notifications.hpp"
#include "store/rate_limits.hpp"

using namespace csrq;
using namespace csrq::test;
using namespace std::chrono_literals;

namespace {

constexpr Duration an_hour = 1h;

/// A CA that has refused something.
struct RefusingCa : Store {
  std::string directory = some_owner().directory;
  store::AccountId account = store::find_or_create_account(database, some_owner(), some_key('a')).id;

  std::string id() const { return std::to_string(number(account)); }

  store::Fence claimed() {
    submit();
    return store::claim(database, worker, 1, lease, {.policy = AccountPolicy::per_registered_domain})
        .at(0)
        .fence;
  }

  Duration refuse(std::optional<Duration> asked, LimitScope scope = LimitScope::account,
                  const std::string& subject = {}, const std::string& code = "rateLimited") {
    return store::write_hold(
        database, {.directory = directory, .account = account, .limit = {.scope = scope, .subject = subject}},
        asked,
        {.failure_class = code == "rateLimited" ? FailureClass::limited : FailureClass::administrative,
         .code = code,
         .detail = "no"});
  }
  Duration pause(const std::string& name) {
    return refuse(std::nullopt, LimitScope::identifier, name, "name_paused");
  }

  store::RequestId wait_for_pause(const std::string& name) {
    const auto fence = claimed();
    const auto not_yet = open(fence, name).not_yet.value();
    const Failure why{
        .failure_class = FailureClass::administrative, .code = not_yet.code, .detail = not_yet.detail};
    REQUIRE(store::put_off(database, fence, not_yet.wait, &why));
    return fence.request;
  }

  void raise_pause(const std::string& name, std::optional<std::int64_t> request) {
    store::raise_alarm(database, {.key = {store::AlarmKind::name, directory, name},
                                  .code = "name_paused",
                                  .detail = "no",
                                  .request = request});
  }

  void wait_is_over() { sql.run("UPDATE csrq.rate_hold SET until = now()"); }

  store::OpenOrderResult open(const store::Fence& fence, const std::string& name = "a.example",
                              const std::string& domain = "a.example") {
    return store::open_order(database, fence, account, {name}, {domain});
  }
  bool goes(const store::Fence& fence) { return open(fence).order.has_value(); }

  void accept(const store::Fence& fence) {
    const auto opened = open(fence).order.value();
    REQUIRE(store::record_order(
        database, fence,
        order_record(opened.id, "https://ca.example/order/" + std::to_string(number(opened.id)))));
  }

  void limit(const std::string& name, int burst, Duration period) {
    store::set_rate_limits(database, directory, {{name, {.burst = burst, .period = period}}});
  }
};

}  // namespace

TEST_CASE(
    "when the wait for an unknown limit is over, one row goes first, and the others when it was accepted") {
  RefusingCa ca;
  SUBCASE("of an account") {
    ca.refuse(an_hour);
  }
  SUBCASE("of a registered domain") {
    ca.refuse(an_hour, LimitScope::registered_domain, "a.example");
  }
  SUBCASE("of the whole CA") {
    ca.refuse(an_hour, LimitScope::ca);
  }
  const auto first = ca.claimed();
  const auto second = ca.claimed();
  ca.wait_is_over();
  REQUIRE(ca.goes(first));
  const auto not_yet = ca.open(second).not_yet;
  REQUIRE(not_yet);
  CHECK(not_yet->code == ErrorCode::on_hold);
  CHECK(not_yet->wait >= 2s);
  CHECK(not_yet->wait <= 5s);
  ca.accept(first);
  CHECK(ca.goes(second));
}

TEST_CASE("with each order that is accepted one more may be on its way, and after sixteen all may") {
  RefusingCa ca;
  ca.refuse(an_hour);
  ca.wait_is_over();
  std::vector<store::Fence> rows;
  rows.reserve(24);
  for (int row = 0; row < 24; ++row) rows.push_back(ca.claimed());
  ca.accept(rows[0]);
  CHECK(ca.goes(rows[1]));
  CHECK(ca.goes(rows[2]));
  CHECK_FALSE(ca.goes(rows[3]));
  for (std::size_t row = 1; row < 16; ++row) ca.accept(rows[row]);
  for (std::size_t row = 16; row < rows.size(); ++row) CHECK(ca.goes(rows[row]));
}

TEST_CASE("nobody waits for the first one longer than half a minute: its worker may have died") {
  RefusingCa ca;
  ca.refuse(an_hour);
  ca.wait_is_over();
  const auto first = ca.claimed();
  const auto second = ca.claimed();
  CHECK(ca.goes(first));
  CHECK(ca.sql.value("SELECT until - now() <= interval '30 seconds' FROM csrq.goes_first") == "t");
  ca.sql.run("UPDATE csrq.goes_first SET until = now()");
  CHECK(ca.goes(second));
  CHECK_FALSE(ca.goes(first));
}

TEST_CASE("the row that goes first may be taken up again by another worker") {
  RefusingCa ca;
  ca.refuse(an_hour);
  ca.wait_is_over();
  const auto first = ca.claimed();
  CHECK(ca.goes(first));
  CHECK(ca.goes(first));
}

TEST_CASE("whoever meets another that is setting out waits for no lock") {
  RefusingCa ca;
  ca.refuse(an_hour);
  ca.wait_is_over();
  const auto second = ca.claimed();
  ca.sql.run("BEGIN");
  ca.sql.run("SELECT FROM csrq.rate_hold FOR NO KEY UPDATE");
  CHECK(ca.open(second).not_yet);
  ca.sql.run("COMMIT");
  CHECK(ca.goes(second));
}

TEST_CASE("if the first one is refused, all wait again, and one goes first again") {
  RefusingCa ca;
  ca.refuse(an_hour);
  ca.wait_is_over();
  const auto first = ca.claimed();
  const auto second = ca.claimed();
  CHECK(ca.goes(first));
  ca.refuse(std::nullopt);
  CHECK(ca.count("goes_first") == "0");
  CHECK_FALSE(ca.goes(second));
  ca.wait_is_over();
  CHECK(ca.goes(second));
  CHECK_FALSE(ca.goes(first));
}

TEST_CASE("if the first one fails for a reason of its own, another goes at once") {
  RefusingCa ca;
  ca.refuse(an_hour);
  ca.wait_is_over();
  const auto first = ca.claimed();
  const auto second = ca.claimed();
  const auto opened = ca.open(first).order.value();
  store::close_order(ca.database, first, opened.id, OrderStatus::lost, some_failure(FailureClass::permanent));
  CHECK(ca.goes(second));
}

TEST_CASE("the first one of a wait that finds another limit used up keeps nobody waiting") {
  RefusingCa ca;
  ca.limit("certificates_per_name_set", 1, an_hour);
  const auto taken = ca.claimed();
  CHECK(ca.open(taken, "b.example").order);
  ca.refuse(an_hour);
  ca.wait_is_over();
  CHECK(ca.open(ca.claimed(), "b.example").not_yet->code == "rate_limit");
  CHECK(ca.goes(ca.claimed()));
}

TEST_CASE("after the wait for a limit that has figures, the tokens decide who goes") {
  RefusingCa ca;
  ca.limit("new_orders_per_account", 3, 3 * an_hour);
  ca.refuse(Duration{});
  ca.wait_is_over();
  ca.sql.run("DELETE FROM csrq.rate_bucket");
  for (int row = 0; row < 3; ++row) CHECK(ca.goes(ca.claimed()));
}

TEST_CASE(
    "a claim takes few rows of an account whose wait is just over: the others would only wait for these") {
  RefusingCa ca;
  ca.refuse(an_hour);
  for (int row = 0; row < 40; ++row) ca.submit();
  CHECK(store::claim(ca.database, ca.worker, 100, lease).empty());
  ca.wait_is_over();
  ca.sql.run("UPDATE csrq.turn SET turn_at = now()");
  const auto claims = store::claim(ca.database, ca.worker, 100, lease);
  CHECK(claims.size() == 16);
  for (const auto& claim : claims) ca.accept(claim.fence);
  CHECK(store::claim(ca.database, ca.worker, 100, lease).size() == 24);
}

TEST_CASE("one account is registered first when the wait for new accounts is over") {
  RefusingCa ca;
  const auto second = store::find_or_create_account(ca.database, some_owner("other"), some_key('b')).id;
  ca.refuse(an_hour, LimitScope::address);
  ca.wait_is_over();
  CHECK_FALSE(store::take_account_token(ca.database, ca.directory, ca.account));
  const auto not_yet = store::take_account_token(ca.database, ca.directory, second);
  REQUIRE(not_yet);
  CHECK(not_yet->code == ErrorCode::on_hold);
  CHECK(not_yet->wait <= 5s);
  store::account_registered(ca.database, ca.account,
                            {.status = AccountStatus::valid, .url = "https://ca.example/account/1"});
  CHECK_FALSE(store::take_account_token(ca.database, ca.directory, second));
}

TEST_CASE("a refusal without a time waits one refill of the known limit, else seconds that grow") {
  RefusingCa ca;
  SUBCASE("a known limit") {
    ca.limit("new_orders_per_account", 300, 3 * an_hour);
    CHECK(ca.refuse(std::nullopt) == 36s);
    CHECK(ca.refuse(std::nullopt) == 36s);
  }
  SUBCASE("an unknown one: twice as long each time, ten minutes at most") {
    for (const Duration expected : {5s, 10s, 20s, 40s, 80s, 160s, 320s, 600s, 600s}) {
      CHECK(ca.refuse(std::nullopt) == expected);
      ca.wait_is_over();
    }
  }
  SUBCASE("those that were on their way together count once") {
    CHECK(ca.refuse(std::nullopt) == 5s);
    CHECK(ca.refuse(std::nullopt) == 5s);
  }
  SUBCASE("an order that was accepted ends the row of refusals") {
    for (int refusal = 0; refusal < 3; ++refusal) {
      ca.refuse(std::nullopt);
      ca.wait_is_over();
    }
    ca.accept(ca.claimed());
    CHECK(ca.refuse(std::nullopt) == 5s);
  }
  SUBCASE("it does not shorten a wait that the CA has asked for") {
    ca.refuse(an_hour);
    ca.refuse(std::nullopt);
    CHECK(ca.sql.value("SELECT until > now() + interval '59 minutes' FROM csrq.rate_hold") == "t");
  }
}

TEST_CASE("no bucket is corrected by a time that the CA did not give, and nothing is learnt from it") {
  RefusingCa ca;
  SUBCASE("of a known limit") {
    ca.limit("new_orders_per_account", 300, 3 * an_hour);
    ca.refuse(std::nullopt);
    CHECK(ca.sql.value("SELECT csrq.tokens('" + ca.directory + "', 'new_orders_per_account', '" + ca.id() +
                       "')") == "300");
  }
  SUBCASE("of an unknown one") {
    ca.refuse(std::nullopt);
    CHECK(ca.sql.value("SELECT counted_from FROM csrq.rate_hold") == "infinity");
    ca.wait_is_over();
    ca.accept(ca.claimed());
    ca.refuse(std::nullopt);
    CHECK(ca.count("rate_limit") == "0");
  }
}

TEST_CASE("the bucket has its next token when the CA has said, however long the wait at least is") {
  RefusingCa ca;
  ca.limit("new_orders_per_account", 120, 60s);
  store::write_hold(
      ca.database,
      {.directory = ca.directory, .account = ca.account, .limit = {.scope = LimitScope::account}}, 1s,
      some_failure(FailureClass::limited), 5s);
  CHECK(ca.sql.value("SELECT until - now() > interval '4 seconds' FROM csrq.rate_hold") == "t");
  CHECK(ca.sql.value("SELECT csrq.next_token_at('" + ca.directory + "', 'new_orders_per_account', '" +
                     ca.id() + "') < now() + interval '1.1 seconds'") == "t");
}

TEST_CASE("a paused name holds its rows with its own code, for hours that grow, and no others") {
  RefusingCa ca;
  CHECK(ca.pause("z.example") == an_hour);
  const auto not_yet = ca.open(ca.claimed(), "z.example").not_yet;
  REQUIRE(not_yet);
  CHECK(not_yet->code == "name_paused");
  CHECK(not_yet->detail == "no");
  CHECK(not_yet->failed_names == std::vector<std::string>{"z.example"});
  CHECK(ca.open(ca.claimed(), "*.z.example").not_yet->code == "name_paused");
  CHECK(ca.open(ca.claimed(), "a.example").order);
  for (const Duration expected : {2 * an_hour, 4 * an_hour, 8 * an_hour, 16 * an_hour, 24 * an_hour}) {
    ca.wait_is_over();
    CHECK(ca.pause("z.example") == expected);
  }
}

TEST_CASE(
    "when a paused name is asked for again, one row goes first, and its acceptance ends the pause for all") {
  RefusingCa ca;
  ca.pause("z.example");
  store::raise_alarm(
      ca.database,
      {.key = {store::AlarmKind::name, ca.directory, "z.example"}, .code = "name_paused", .detail = "no"});
  const auto waiting = ca.wait_for_pause("z.example");
  const auto second = ca.wait_for_pause("z.example");
  SUBCASE("at the end of the wait") {
    ca.wait_is_over();
    ca.sql.run("UPDATE csrq.job SET run_at = now() WHERE request_id = " + std::to_string(number(second)));
  }
  SUBCASE("by csrq.retry") {
    REQUIRE(store::retry(ca.database, {.id = second}) == 1);
  }
  const auto first =
      store::claim(ca.database, ca.worker, 1, lease, {.policy = AccountPolicy::per_registered_domain}).at(0);
  const auto opened = ca.open(first.fence, "z.example").order.value();
  CHECK(ca.open(ca.claimed(), "z.example").not_yet);
  CHECK(ca.job(waiting, "run_at > now()") == "t");
  REQUIRE(
      store::record_order(ca.database, first.fence, Store::order_record(opened.id, "https://ca.example/1")));
  CHECK(ca.job(waiting, "run_at <= now()") == "t");
  CHECK(store::open_alarms(ca.database).empty());
  CHECK(ca.open(ca.claimed(), "z.example").order);
  CHECK(ca.open(ca.claimed(), "z.example").order);
}

TEST_CASE("a paused name is left alone for hours, however short the time that the CA names") {
  RefusingCa ca;
  CHECK(ca.refuse(0s, LimitScope::identifier, "z.example", "name_paused") == an_hour);
  CHECK(ca.refuse(5 * an_hour, LimitScope::identifier, "z.example", "name_paused") == 5 * an_hour);
}

TEST_CASE("the alarm of a paused name ends with the last row that waits for it, not with the first") {
  RefusingCa ca;
  ca.pause("z.example");
  const auto met_it = ca.wait_for_pause("z.example");
  const auto other = ca.wait_for_pause("z.example");
  ca.raise_pause("z.example", store::number(met_it));
  const auto alarms_without = [&](store::RequestId row) {
    ca.sql.run("SELECT csrq.cancel(" + std::to_string(number(row)) + ")");
    ca.sql.run("SELECT csrq.collect_failures('{}', '1 day', '0')");
    return store::open_alarms(ca.database).size();
  };
  CHECK(alarms_without(met_it) == 1);
  CHECK(alarms_without(other) == 0);
}

TEST_CASE("a name that is paused under two accounts is an alarm until both may have it again") {
  RefusingCa ca;
  const auto mine = ca.account;
  const auto another = store::find_or_create_account(ca.database, some_owner("other"), some_key('b')).id;
  for (const auto account : {mine, another}) {
    ca.account = account;
    ca.pause("z.example");
    ca.wait_for_pause("z.example");
  }
  ca.raise_pause("z.example", std::nullopt);
  ca.wait_is_over();
  std::size_t left = 1;
  for (const auto account : {mine, another}) {
    ca.account = account;
    const auto fence = ca.claimed();
    const auto opened = ca.open(fence, "z.example").order.value();
    REQUIRE(store::record_order(
        ca.database, fence,
        Store::order_record(opened.id, "https://ca.example/" + std::to_string(number(opened.id)))));
    CHECK(store::open_alarms(ca.database).size() == left--);
  }
}

TEST_CASE("a row that was retried, and told again that its name is paused, waits like the others") {
  RefusingCa ca;
  ca.pause("z.example");
  const auto fence = ca.claimed();
  ca.sql.run("UPDATE csrq.job SET retried_at = now()");
  CHECK(ca.open(fence, "z.example").order);
  ca.pause("z.example");
  CHECK(ca.open(ca.claimed(), "z.example").not_yet->code == "name_paused");
}

TEST_CASE("a wait that is over, and after which one goes first, can be forgotten, too") {
  RefusingCa ca;
  ca.refuse(an_hour);
  ca.wait_is_over();
  CHECK(ca.sql.value("SELECT forgotten FROM csrq.forget_limits(everything => true)") == "1");
  CHECK(ca.sql.value("SELECT forgotten FROM csrq.forget_limits(everything => true)") == "0");
}

TEST_CASE("an administrator forgets a wait: rows that waited for it look again, and others do not") {
  RefusingCa ca;
  const auto waits = [&](const std::string& name) {
    const auto fence = ca.claimed();
    const auto not_yet = ca.open(fence, name, name).not_yet.value();
    const Failure why{.failure_class = FailureClass::limited, .code = not_yet.code, .detail = not_yet.detail};
    REQUIRE(store::put_off(ca.database, fence, not_yet.wait, &why));
    return fence.request;
  };
  std::string scope = "account";
  std::string key = ca.id();
  std::string name = "www.a.example";
  SUBCASE("of an account") {
    ca.refuse(an_hour);
  }
  SUBCASE("of an account, by the name of its limit") {
    ca.refuse(an_hour);
    scope = "new_orders_per_account";
  }
  SUBCASE("of a registered domain") {
    ca.refuse(an_hour, LimitScope::registered_domain, "a.example");
    scope = "registered_domain";
    key = name = "a.example";
  }
  SUBCASE("of a name") {
    ca.refuse(an_hour, LimitScope::identifier, "www.a.example");
    scope = "identifier";
    SUBCASE("under its account") {
      key = ca.id() + " www.a.example";
    }
    SUBCASE("under whatever account") {
      key = "www.a.example";
    }
  }
  SUBCASE("of a set of names") {
    ca.refuse(an_hour, LimitScope::name_set, "www.a.example");
    scope = "name_set";
    key = "www.a.example";
  }
  SUBCASE("of a whole CA") {
    ca.refuse(an_hour, LimitScope::ca);
    scope = "ca";
    key = ca.directory;
  }
  SUBCASE("of everything") {
    ca.refuse(an_hour);
    scope = key = "";
  }
  const auto waiting = waits(name);
  const auto failing = ca.submit();
  ca.sql.run("UPDATE csrq.job SET run_at = now() + interval '1 day' WHERE request_id = " +
             std::to_string(number(failing)));
  CHECK(store::forget_limits(ca.database, {.scope = "registered_domain", .key = "other.example"}).forgotten ==
        0);
  const store::ForgottenLimits forgotten = store::forget_limits(ca.database, {.scope = scope, .key = key});
  CHECK(forgotten.forgotten == 1);
  CHECK(forgotten.rows == 1);
  CHECK(forgotten.last_at.ends_with("Z"));
  CHECK(ca.count("rate_hold") == "0");
  CHECK(ca.job(waiting, "run_at <= now()") == "t");
  CHECK(ca.job(failing, "run_at > now()") == "t");
  CHECK(store::forget_limits(ca.database, {.scope = scope, .key = key}).forgotten == 0);
}

TEST_CASE("forgetting a wait gives back the tokens that it put off, and keeps those that were spent") {
  RefusingCa ca;
  ca.limit("new_orders_per_account", 10, 10 * an_hour);
  CHECK(ca.goes(ca.claimed()));
  ca.refuse(24 * an_hour);
  const auto left = [&] {
    return ca.sql.value("SELECT csrq.tokens('" + ca.directory + "', 'new_orders_per_account', '" + ca.id() +
                        "')");
  };
  CHECK(left() == "0");
  store::forget_limits(ca.database, {.scope = "account", .key = ca.id()});
  CHECK(left() == "9");
}

TEST_CASE("a limit that was learnt from refusals is forgotten with the wait") {
  RefusingCa ca;
  ca.sql.run(
      "INSERT INTO csrq.rate_limit (directory, name, key, burst, period, source, learnt_at) VALUES ('" +
      ca.directory + "', 'new_orders_per_account', '" + ca.id() + "', 1, '1 day', 'learnt', now())");
  CHECK(store::forget_limits(ca.database, {.scope = "account", .key = ca.id()}).forgotten == 1);
  CHECK(ca.count("rate_limit") == "0");
}

TEST_CASE("many rows that a forgotten wait held back come spread, 600 a minute") {
  RefusingCa ca;
  ca.refuse(an_hour);
  for (int row = 0; row < 200; ++row) ca.submit();
  ca.sql.run("UPDATE csrq.job SET run_at = now() + interval '1 hour'");
  ca.sql.run("UPDATE csrq.request SET error = '{\"code\": \"on_hold\"}'");
  CHECK(store::forget_limits(ca.database, {.scope = "account", .key = ca.id()}).rows == 200);
  CHECK(ca.sql.value("SELECT round(extract(epoch FROM max(run_at) - min(run_at)), 1) FROM csrq.job") ==
        "19.9");
}

TEST_CASE("only a member of csrq_admin forgets a limit, and of a scope that there is") {
  RefusingCa ca;
  CHECK(refusal_of([&] {
          store::forget_limits(ca.database, {.scope = "galaxy", .key = "x"});
        }).find("there is no scope \"galaxy\"") != std::string::npos);
  for (const auto& [role, may] : {std::pair{"csrq_worker", false}, std::pair{"csrq_admin", true}}) {
    const std::string url = ca.test.url_as(std::string("limits_") + role);
    ca.sql.run(std::string("GRANT ") + role + " TO limits_" + role);
    CHECK(Sql(url).refusal("SELECT csrq.forget_limits(everything => true)").empty() == may);
  }
}
