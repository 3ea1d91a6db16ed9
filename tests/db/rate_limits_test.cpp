#include "store/rate_limits.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <future>
#include <thread>

#include "db/store_fixture.hpp"
#include "store/janitor.hpp"

using namespace csrq;
using namespace csrq::test;
using namespace std::chrono_literals;

namespace {

constexpr Duration an_hour = 1h;

/// A CA with limits, and an account there.
struct LimitedCa : Store {
  std::string directory = some_owner().directory;
  store::AccountId account = store::find_or_create_account(database, some_owner(), some_key('a')).id;

  explicit LimitedCa(const std::map<std::string, RateLimit>& limits) {
    store::set_rate_limits(database, directory, limits);
  }

  store::Fence claimed(const std::string& priority = "normal") {
    submit({.priority = priority});
    return store::claim(database, worker, 1, lease, {.policy = AccountPolicy::per_registered_domain})
        .at(0)
        .fence;
  }

  store::OpenOrderResult open(const store::Fence& fence, const std::vector<std::string>& names,
                              const std::vector<std::string>& domains = {}) {
    return store::open_order(database, fence, account, names, domains);
  }

  /// An order for these names, opened for a row of its own.
  store::OpenOrderResult open(const std::vector<std::string>& names,
                              const std::vector<std::string>& domains = {}) {
    return open(claimed(), names, domains);
  }

  /// Of a row that has got its certificate for a.example.
  store::Fence claimed_renewal() {
    const auto fence = claimed();
    const auto opened = open(fence, {"a.example"}).order.value();
    REQUIRE(store::record_order(database, fence, order_record(opened.id, "https://ca.example/order/1")));
    REQUIRE(store::complete(database, fence, issued(opened.id, "01")));
    sql.run("SELECT csrq.renew(1)");
    const auto claims = store::claim(database, worker, 1, lease, {.policy = AccountPolicy::shared});
    REQUIRE(claims.size() == 1);
    return claims[0].fence;
  }

  int left(const std::string& name, const std::string& key) {
    return std::stoi(sql.value("SELECT csrq.tokens('" + directory + "', '" + name + "', '" + key + "')"));
  }
};

std::map<std::string, RateLimit> one_limit(const std::string& name, int burst, Duration period,
                                           bool renewals_exempt = false) {
  return {{name, {.burst = burst, .period = period, .renewals_exempt = renewals_exempt}}};
}

double hours(const std::optional<store::NotYet>& not_yet) {
  return not_yet ? std::chrono::duration<double, std::ratio<3600>>(not_yet->wait).count() : 0;
}

}  // namespace

TEST_CASE(
    "as many orders as the limit allows are opened at once, then one each refill, in the order of asking") {
  LimitedCa ca(one_limit("new_orders_per_account", 3, 3 * an_hour));
  for (const char* name : {"a.example", "b.example", "c.example"}) CHECK(ca.open({name}).order);
  CHECK(hours(ca.open({"d.example"}).not_yet) == doctest::Approx(1).epsilon(0.01));
  CHECK(hours(ca.open({"e.example"}).not_yet) == doctest::Approx(2).epsilon(0.01));
  const auto sixth = ca.open({"f.example"});
  CHECK(hours(sixth.not_yet) == doctest::Approx(3).epsilon(0.01));
  CHECK(sixth.not_yet->code == "rate_limit");
  CHECK(sixth.not_yet->detail.find("new_orders_per_account") != std::string::npos);
}

TEST_CASE("an urgent row is told to come for the next token") {
  LimitedCa ca(one_limit("new_orders_per_account", 1, an_hour));
  CHECK(ca.open({"a.example"}).order);
  for (int i = 0; i < 3; ++i) CHECK(ca.open({"b.example"}).not_yet);
  CHECK(hours(ca.open(ca.claimed("urgent"), {"c.example"}).not_yet) == doctest::Approx(1).epsilon(0.01));
}

TEST_CASE("a registered domain's limit holds back its rows, and no others") {
  LimitedCa ca(one_limit("certificates_per_registered_domain", 1, 24 * an_hour));
  CHECK(ca.open({"a.busy.example"}, {"busy.example"}).order);
  CHECK(ca.open({"b.busy.example", "quiet.example"}, {"busy.example", "quiet.example"}).not_yet);
  CHECK(ca.open({"quiet.example"}, {"quiet.example"}).order);
}

TEST_CASE("a set of names has its own limit") {
  LimitedCa ca(one_limit("certificates_per_name_set", 1, 24 * an_hour));
  CHECK(ca.open({"a.example", "b.example"}).order);
  CHECK(ca.open({"a.example"}).order);
  CHECK(ca.open({"a.example", "b.example"}).not_yet);
}

TEST_CASE("an order that ends without a certificate gives back what only a certificate costs") {
  auto limits = one_limit("certificates_per_registered_domain", 2, 24 * an_hour);
  limits["new_orders_per_account"] = {.burst = 10, .period = 24 * an_hour};
  LimitedCa ca(limits);
  const auto fence = ca.claimed();
  const auto opened = ca.open(fence, {"a.example"}, {"a.example"}).order.value();
  REQUIRE(
      store::record_order(ca.database, fence, Store::order_record(opened.id, "https://ca.example/order/1")));
  CHECK(ca.left("certificates_per_registered_domain", "a.example") == 1);
  store::close_order(ca.database, fence, opened.id, OrderStatus::invalid,
                     some_failure(FailureClass::validation));
  CHECK(ca.left("certificates_per_registered_domain", "a.example") == 2);
  CHECK(ca.left("new_orders_per_account", std::to_string(store::number(ca.account))) == 9);
}

TEST_CASE("what a cancelled order would have cost is given back by the janitor, once for each") {
  LimitedCa ca(one_limit("certificates_per_registered_domain", 3, 24 * an_hour));
  for (const char* name : {"a.example", "b.example"}) CHECK(ca.open({name}, {"example"}).order);
  CHECK(ca.left("certificates_per_registered_domain", "example") == 1);
  ca.sql.run("SELECT csrq.cancel(id) FROM csrq.request");
  ca.sql.run("SELECT csrq.close_orders(id) FROM csrq.request");
  CHECK(ca.left("certificates_per_registered_domain", "example") == 1);
  store::tidy(ca.database);
  CHECK(ca.left("certificates_per_registered_domain", "example") == 3);
  store::tidy(ca.database);
  CHECK(ca.left("certificates_per_registered_domain", "example") == 3);
}

TEST_CASE("while an open order may give its token back, another row looks again within half an hour") {
  LimitedCa ca(one_limit("certificates_per_name_set", 1, 24 * an_hour));
  const auto fence = ca.claimed();
  const auto opened = ca.open(fence, {"a.example"}).order.value();
  for (int row = 0; row < 3; ++row) CHECK(hours(ca.open({"a.example"}).not_yet) <= 0.5);
  CHECK(hours(ca.open(ca.claimed("urgent"), {"a.example"}).not_yet) <= 0.05);
  REQUIRE(
      store::record_order(ca.database, fence, Store::order_record(opened.id, "https://ca.example/order/1")));
  SUBCASE("and has it when the order fails") {
    store::close_order(ca.database, fence, opened.id, OrderStatus::invalid,
                       some_failure(FailureClass::validation));
    CHECK(ca.open({"a.example"}).order);
  }
  SUBCASE("and waits for the next when it has brought a certificate") {
    REQUIRE(store::complete(ca.database, fence, Store::issued(opened.id, "01")));
    CHECK(hours(ca.open({"a.example"}).not_yet) == doctest::Approx(24).epsilon(0.01));
  }
}

TEST_CASE("what a certificate cost stays spent") {
  LimitedCa ca(one_limit("certificates_per_registered_domain", 2, 24 * an_hour));
  const auto fence = ca.claimed();
  const auto opened = ca.open(fence, {"a.example"}, {"a.example"}).order.value();
  REQUIRE(
      store::record_order(ca.database, fence, Store::order_record(opened.id, "https://ca.example/order/1")));
  REQUIRE(store::complete(ca.database, fence, Store::issued(opened.id, "01")));
  CHECK(ca.left("certificates_per_registered_domain", "a.example") == 1);
}

TEST_CASE("a renewal costs nothing where the CA exempts it") {
  for (const bool exempt : {true, false}) {
    CAPTURE(exempt);
    LimitedCa ca(one_limit("new_orders_per_account", 1, 24 * an_hour, exempt));
    const store::Fence renewal = ca.claimed_renewal();
    CHECK(ca.open(renewal, {"a.example"}).order.has_value() == exempt);
  }
}

TEST_CASE("renewals that a CA exempts from a limit go on when it has refused a new order for that limit") {
  enum class WasRefused { new_order, new_order_without_exemption, renewal };
  for (const auto refused :
       {WasRefused::new_order, WasRefused::new_order_without_exemption, WasRefused::renewal}) {
    CAPTURE(static_cast<int>(refused));
    LimitedCa ca(one_limit("new_orders_per_account", 100, 24 * an_hour,
                           refused != WasRefused::new_order_without_exemption));
    const store::Fence renewal = ca.claimed_renewal();
    const auto fresh = ca.claimed();
    store::write_hold(ca.database,
                      {.directory = ca.directory,
                       .account = ca.account,
                       .request = refused == WasRefused::renewal ? renewal.request : fresh.request,
                       .limit = {.scope = LimitScope::account}},
                      an_hour, some_failure(FailureClass::limited));
    CHECK(hours(ca.open(fresh, {"b.example"}).not_yet) == doctest::Approx(1).epsilon(0.01));
    CHECK(ca.open(renewal, {"a.example"}).order.has_value() == (refused == WasRefused::new_order));
  }
}

TEST_CASE("a refused renewal holds back renewals, whatever is refused after it") {
  LimitedCa ca(one_limit("new_orders_per_account", 100, 24 * an_hour, true));
  const store::Fence renewal = ca.claimed_renewal();
  for (const auto request : {renewal.request, ca.claimed().request})
    store::write_hold(ca.database,
                      {.directory = ca.directory,
                       .account = ca.account,
                       .request = request,
                       .limit = {.scope = LimitScope::account}},
                      an_hour, some_failure(FailureClass::limited));
  CHECK(ca.open(renewal, {"a.example"}).not_yet);
}

TEST_CASE("failed validations of a name use up its limit, and a success ends a row of failures") {
  auto limits = one_limit("failed_validations_per_identifier", 2, 2 * an_hour);
  limits["consecutive_failures_per_identifier"] = {.burst = 100, .period = 100 * 24 * an_hour};
  LimitedCa ca(limits);
  const auto fence = ca.claimed();
  const auto opened = ca.open(fence, {"a.example"}).order.value();
  REQUIRE(
      store::record_order(ca.database, fence, Store::order_record(opened.id, "https://ca.example/order/1")));
  const std::string key = std::to_string(store::number(ca.account)) + " a.example";
  const auto validated = [&](const std::string& url, AuthorizationStatus status) {
    ca.sql.run("INSERT INTO csrq.acme_authorization (account_id, customer, url) VALUES (" +
               std::to_string(store::number(ca.account)) + ", 'acme', '" + url + "')");
    for (const auto seen : {AuthorizationStatus::pending, status})
      store::record_authorizations(ca.database, fence,
                                   {{.url = url,
                                     .identifier = "a.example",
                                     .wildcard = false,
                                     .status = seen,
                                     .expires = {},
                                     .challenge = {}}});
  };
  validated("https://ca.example/authz/1", AuthorizationStatus::invalid);
  CHECK(ca.left("failed_validations_per_identifier", key) == 1);
  CHECK(ca.left("consecutive_failures_per_identifier", key) == 99);
  CHECK(ca.open({"a.example"}).order);
  validated("https://ca.example/authz/2", AuthorizationStatus::invalid);
  CHECK(hours(ca.open({"*.a.example", "b.example"}).not_yet) == doctest::Approx(1).epsilon(0.01));
  CHECK(ca.open({"b.example"}).order);
  validated("https://ca.example/authz/3", AuthorizationStatus::valid);
  CHECK(ca.left("consecutive_failures_per_identifier", key) == 100);
  CHECK(ca.left("failed_validations_per_identifier", key) == 0);
}

TEST_CASE("new accounts are counted for all workers together") {
  LimitedCa ca(one_limit("new_accounts_per_address", 1, an_hour));
  CHECK(hours(store::take_account_token(ca.database, ca.directory, ca.account)) ==
        doctest::Approx(1).epsilon(0.01));
}

TEST_CASE("the rows of an owner whose account cannot be registered yet wait together, and push nobody back") {
  LimitedCa ca(one_limit("new_accounts_per_address", 1, an_hour));
  const auto other = store::find_or_create_account(ca.database, some_owner("other"), some_key('o')).id;
  for (int row = 0; row < 5; ++row)
    CHECK(hours(store::take_account_token(ca.database, ca.directory, ca.account)) ==
          doctest::Approx(1).epsilon(0.01));
  for (int row = 0; row < 5; ++row)
    CHECK(hours(store::take_account_token(ca.database, ca.directory, other)) ==
          doctest::Approx(2).epsilon(0.01));
}

TEST_CASE("no row is claimed while its customer's account cannot be registered yet") {
  LimitedCa ca(one_limit("new_accounts_per_address", 1, an_hour));
  const auto waiting = store::find_or_create_account(ca.database, some_owner("waiting"), some_key('w')).id;
  ca.sql.run("INSERT INTO csrq.request (customer, csr) SELECT 'waiting', 'x' FROM generate_series(1, 3)");
  CHECK(store::take_account_token(ca.database, ca.directory, waiting));
  CHECK(store::claim(ca.database, ca.worker, 10, lease).empty());
}

namespace {

const Failure* waits_for_limit() {
  static const Failure failure = [] {
    Failure made = some_failure(FailureClass::limited);
    made.code = "rate_limit";
    return made;
  }();
  return &failure;
}

/// Accounts that wait to be registered, one an hour.
struct LineOfAccounts : LimitedCa {
  LineOfAccounts() : LimitedCa(one_limit("new_accounts_per_address", 1, an_hour)) {}

  store::AccountId made_up(const std::string& owner) {
    return store::find_or_create_account(database, some_owner(owner), some_key(owner[0])).id;
  }

  std::optional<store::NotYet> ask(store::AccountId id) {
    return store::take_account_token(database, directory, id);
  }

  void let_pass(const std::string& time) {
    sql.run("UPDATE csrq.rate_bucket SET full_at = full_at - interval '" + time + "'");
    sql.run("UPDATE csrq.waiting_account SET since = since - interval '" + time +
            "', come_back_at = come_back_at - interval '" + time + "', let_go_at = let_go_at - interval '" +
            time + "'");
    sql.run("UPDATE csrq.turn SET turn_at = turn_at - interval '" + time + "'");
  }

  void insert(const std::string& customer, const std::string& priority, int rows) {
    sql.run("INSERT INTO csrq.request (customer, csr, priority) SELECT '" + customer + "', 'x', '" +
            priority + "' FROM generate_series(1, " + std::to_string(rows) + ")");
  }

  /// The account of a customer with so many normal rows.
  store::AccountId with_rows(const std::string& owner, int rows) {
    insert(owner, "normal", rows);
    return made_up(owner);
  }

  std::vector<store::Claim> claimed_rows() { return store::claim(database, worker, 10, lease); }

  static void register_account_in(Sql& session, store::AccountId id) {
    session.run("SELECT csrq.account_registered(" + std::to_string(store::number(id)) +
                ", 'valid', 'https://ca.example/account', NULL, '{}')");
  }

  void register_account(store::AccountId id) {
    store::account_registered(database, id,
                              {.status = AccountStatus::valid,
                               .url = "https://ca.example/account/" + std::to_string(store::number(id)),
                               .orders_url = {},
                               .contact = {}});
  }
};

}  // namespace

TEST_CASE("accounts are registered in the order in which they came") {
  LineOfAccounts line;
  const auto second = line.made_up("second");
  CHECK(line.ask(line.account));
  CHECK(line.ask(second));
  line.let_pass("1 hour");
  const auto third = line.made_up("third");
  CHECK(hours(line.ask(third)) == doctest::Approx(2).epsilon(0.01));
  CHECK_FALSE(line.ask(line.account));
}

TEST_CASE(
    "whose customer has more rows to be worked on is registered earlier, unless the other has waited for a "
    "week") {
  LineOfAccounts line;
  line.sql.run(
      "INSERT INTO csrq.request (customer, csr) SELECT c, 'x' FROM unnest(ARRAY['small', 'large', 'large']) "
      "c");
  const auto small = line.made_up("small");
  const auto large = line.made_up("large");
  CHECK(line.ask(line.account));
  CHECK(hours(line.ask(small)) == doctest::Approx(1).epsilon(0.01));
  SUBCASE("just come") {
    CHECK(hours(line.ask(large)) == doctest::Approx(1).epsilon(0.01));
    line.let_pass("1 hour");
    CHECK(line.ask(small));
    CHECK_FALSE(line.ask(large));
  }
  SUBCASE("a week later") {
    line.sql.run("UPDATE csrq.waiting_account SET since = now() - interval '8 days'");
    CHECK(hours(line.ask(large)) == doctest::Approx(3).epsilon(0.01));
  }
  SUBCASE("when both have waited for a week since the same day") {
    CHECK(line.ask(large));
    line.sql.run("UPDATE csrq.waiting_account SET since = now() - interval '8 days'");
    line.let_pass("1 hour");
    CHECK(line.ask(small));
    CHECK_FALSE(line.ask(large));
  }
}

TEST_CASE(
    "an account whose registration fails has waited as long as before; one that is registered leaves the "
    "line") {
  LineOfAccounts line;
  CHECK(line.ask(line.account));
  line.sql.run("UPDATE csrq.waiting_account SET since = since - interval '8 days'");
  line.let_pass("1 hour");
  CHECK_FALSE(line.ask(line.account));
  line.sql.run("INSERT INTO csrq.request (customer, csr) SELECT 'large', 'x' FROM generate_series(1, 5)");
  CHECK(line.ask(line.made_up("large")));
  line.let_pass("1 hour");
  CHECK_FALSE(line.ask(line.account));
  line.register_account(line.account);
  CHECK(line.sql.value("SELECT string_agg(a.owner, ' ') FROM csrq.waiting_account i JOIN csrq.acme_account a "
                       "ON a.id = i.account_id") == "large");
}

TEST_CASE("an urgent row brings its customer's account to the head of the line at once") {
  LineOfAccounts line;
  line.insert("second", "bulk", 5);
  const auto second = line.made_up("second");
  CHECK(line.ask(line.account));
  CHECK(hours(line.ask(second)) == doctest::Approx(2).epsilon(0.01));
  CHECK(line.claimed_rows().empty());
  line.insert("second", "urgent", 1);
  CHECK(line.claimed_rows().size() == 1);
  CHECK(hours(line.ask(second)) == doctest::Approx(1).epsilon(0.01));
  line.insert("second", "urgent", 1);
  CHECK(line.claimed_rows().empty());
}

TEST_CASE("an account that does not come back when its turn is loses its place") {
  LineOfAccounts line;
  const auto second = line.made_up("second");
  CHECK(line.ask(line.account));
  CHECK(line.ask(second));
  line.let_pass("130 minutes");
  CHECK_FALSE(line.ask(second));
}

TEST_CASE("an account far back in line comes back within a day, and is told its turn") {
  LineOfAccounts line;
  CHECK(line.ask(line.account));
  line.sql.run("UPDATE csrq.rate_bucket SET full_at = now() + interval '10 days'");
  const auto not_yet = line.ask(line.made_up("second"));
  CHECK(hours(not_yet) > 21);
  CHECK(hours(not_yet) <= 24);
  CHECK(not_yet->detail.find(line.sql.value(
            "SELECT to_char((now() + interval '10 days 1 hour') AT TIME ZONE 'UTC', 'YYYY-MM-DD')")) !=
        std::string::npos);
}

TEST_CASE("accounts that wait to be registered are counted where their limit is shown") {
  LineOfAccounts line;
  CHECK(line.ask(line.account));
  CHECK(line.ask(line.made_up("second")));
  CHECK(line.sql.value("SELECT waiting || ' ' || round(extract(epoch FROM last_starts_at - now()) / 3600) "
                       "FROM csrq.rate_limits WHERE name = 'new_accounts_per_address'") == "2 2");
}

TEST_CASE("accounts that wait to be registered hear of new figures at once") {
  LineOfAccounts line;
  const auto waiting = line.made_up("waiting");
  line.insert("waiting", "normal", 1);
  const auto asking = line.claimed_rows().at(0).fence;
  const auto not_yet = line.ask(waiting);
  REQUIRE(not_yet);
  REQUIRE(store::put_off(line.database, asking, not_yet->wait, waits_for_limit()));
  line.insert("waiting", "normal", 3);
  line.sql.run(
      "INSERT INTO csrq.request (customer, csr, run_after) VALUES ('waiting', 'x', now() + interval '30 "
      "days')");
  CHECK(line.claimed_rows().empty());
  line.sql.run("UPDATE csrq.rate_limit SET burst = 100");
  store::tidy(line.database);
  CHECK(line.claimed_rows().size() == 4);
  CHECK_FALSE(line.ask(waiting));
}

TEST_CASE("an account waits no longer where its limit is dropped") {
  LineOfAccounts line;
  CHECK(line.ask(line.account));
  line.sql.run("DELETE FROM csrq.rate_limit");
  CHECK_FALSE(line.ask(line.account));
}

TEST_CASE("as many accounts as there are tokens hear that their turn is sooner, the first in line first") {
  LineOfAccounts line;
  const auto second = line.made_up("second");
  const auto third = line.made_up("third");
  for (const char* customer : {"second", "third"}) line.insert(customer, "normal", 1);
  CHECK(line.ask(line.account));
  CHECK(line.ask(third));
  line.insert("second", "normal", 1);
  CHECK(line.ask(second));
  line.sql.run("UPDATE csrq.rate_limit SET burst = 2");
  store::tidy(line.database);
  const auto rows = line.claimed_rows();
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].customer == "second");
  CHECK(rows[1].customer == "second");
}

TEST_CASE("an account's token is taken once, however many workers register it; later attempts take another") {
  LineOfAccounts line;
  CHECK(line.ask(line.account));
  line.let_pass("1 hour");
  CHECK_FALSE(line.ask(line.account));
  CHECK_FALSE(line.ask(line.account));
  CHECK(hours(line.ask(line.made_up("second"))) == doctest::Approx(1).epsilon(0.01));
  SUBCASE("when it was not registered") {
    line.let_pass("2 minutes");
    CHECK(hours(line.ask(line.account)) == doctest::Approx(1).epsilon(0.05));
  }
  SUBCASE("when another worker has registered it") {
    line.register_account(line.account);
    line.let_pass("2 minutes");
    CHECK_FALSE(line.ask(line.account));
    CHECK(line.sql.value("SELECT count(*) FROM csrq.waiting_account") == "1");
  }
}

TEST_CASE(
    "an account that another worker is registering at this moment costs no other token, and gets no place") {
  LineOfAccounts line;
  CHECK(line.ask(line.account));
  line.sql.run("BEGIN");
  line.register_account_in(line.sql, line.account);
  auto asking = std::async(std::launch::async, [&] { return line.ask(line.account); });
  Sql seen(line.test.url());
  while (seen.value("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND "
                    "wait_event_type = 'Lock'") == "0") {
  }
  line.sql.run("COMMIT");
  CHECK_FALSE(asking.get());
  CHECK(line.count("waiting_account") == "0");
}

TEST_CASE("once an urgent row has registered its customer's account, the other rows wait no longer") {
  LineOfAccounts line;
  CHECK(line.ask(line.account));
  const auto second = line.made_up("second");
  line.insert("second", "bulk", 1);
  const auto asking = line.claimed_rows().at(0).fence;
  const auto not_yet = line.ask(second);
  REQUIRE(not_yet);
  REQUIRE(store::put_off(line.database, asking, not_yet->wait, waits_for_limit()));
  line.insert("second", "bulk", 2);
  CHECK(line.claimed_rows().empty());
  line.let_pass("1 hour");
  line.insert("second", "urgent", 1);
  CHECK(line.claimed_rows().size() == 1);
  CHECK_FALSE(line.ask(second));
  line.register_account(second);
  CHECK(line.claimed_rows().size() == 3);
}

TEST_CASE("a customer that has cancelled its rows keeps nobody waiting") {
  LineOfAccounts line;
  const auto gone = line.with_rows("gone", 5);
  const auto second = line.with_rows("second", 1);
  CHECK(hours(line.ask(gone)) == doctest::Approx(1).epsilon(0.01));
  CHECK(hours(line.ask(second)) == doctest::Approx(2).epsilon(0.01));
  line.sql.run("SELECT csrq.cancel(id) FROM csrq.request WHERE customer = 'gone'");
  SUBCASE("that asks") {
    CHECK(hours(line.ask(second)) == doctest::Approx(1).epsilon(0.01));
  }
  SUBCASE("that has been told to come later") {
    CHECK(line.claimed_rows().empty());
    line.let_pass("1 hour");
    CHECK(line.claimed_rows().empty());
    store::tidy(line.database);
    CHECK(line.claimed_rows().size() == 1);
    CHECK_FALSE(line.ask(second));
  }
}

TEST_CASE("a customer that comes back after days gets in line anew") {
  LineOfAccounts line;
  const auto small = line.with_rows("small", 1);
  const auto large = line.with_rows("large", 5);
  CHECK(line.ask(small));
  line.let_pass("8 days");
  line.sql.run("UPDATE csrq.rate_bucket SET full_at = now() + interval '1 hour'");
  CHECK(line.ask(large));
  CHECK(hours(line.ask(small)) == doctest::Approx(2).epsilon(0.01));
}

TEST_CASE("an account that the CA no longer knows costs a token, and stands in line") {
  LineOfAccounts line;
  line.register_account(line.account);
  const std::string url = "https://ca.example/account/" + std::to_string(store::number(line.account));
  CHECK(store::take_account_token(line.database, line.directory, line.account, url));
  line.let_pass("1 hour");
  CHECK_FALSE(store::take_account_token(line.database, line.directory, line.account, url));
  CHECK(line.left("new_accounts_per_address", "") == 0);
}

TEST_CASE("accounts keep their places while the CA has asked to wait, and their rows wait together") {
  LineOfAccounts line;
  const auto small = line.with_rows("small", 1);
  const auto large = line.with_rows("large", 5);
  store::write_hold(line.database,
                    {.directory = line.directory, .account = small, .limit = {.scope = LimitScope::address}},
                    3 * an_hour, some_failure(FailureClass::limited));
  for (const auto account : {small, large}) {
    const auto not_yet = line.ask(account);
    REQUIRE(not_yet);
    CHECK(not_yet->code == ErrorCode::on_hold);
    CHECK(hours(not_yet) >= doctest::Approx(3).epsilon(0.01));
  }
  CHECK(line.claimed_rows().empty());
  line.sql.run("UPDATE csrq.rate_hold SET until = now()");
  line.let_pass("3 hours");
  CHECK(hours(line.ask(small)) == doctest::Approx(1).epsilon(0.01));
  CHECK_FALSE(line.ask(large));
}

TEST_CASE("only rows that need an order now count for a place in line") {
  LineOfAccounts line;
  const auto first = line.made_up("first");
  const auto second = line.made_up("second");
  line.insert("first", "normal", 2);
  line.insert("second", "urgent", 3);
  SUBCASE("parked rows do not") {
    line.sql.run(
        "UPDATE csrq.job SET status = 'parked', parked_because = 'suspended' WHERE customer = 'second'");
  }
  SUBCASE("nor rows that are not to be started yet") {
    line.sql.run("UPDATE csrq.job SET run_at = now() + interval '2 hours' WHERE customer = 'second'");
  }
  CHECK(line.ask(first));
  CHECK(hours(line.ask(second)) == doctest::Approx(2).epsilon(0.01));
}

TEST_CASE(
    "where more customers come at once than may be registered, the largest is first, not the first to ask") {
  LineOfAccounts line;
  line.let_pass("1 hour");
  line.insert("small", "normal", 1);
  const auto small = line.made_up("small");
  SUBCASE("and nobody waits for that where it is alone") {
    CHECK(line.claimed_rows().size() == 1);
    CHECK_FALSE(line.ask(small));
  }
  SUBCASE("nor where the others have accounts, at this CA or another") {
    line.insert("large", "normal", 20);
    CHECK(line.claimed_rows().size() == 10);
    auto elsewhere = some_owner("large");
    elsewhere.directory = "https://other.example/directory";
    store::find_or_create_account(line.database, elsewhere, some_key('e'));
    CHECK_FALSE(line.ask(small));
  }
  SUBCASE("and an urgent row does not") {
    line.insert("small", "urgent", 1);
    line.insert("large", "normal", 20);
    CHECK(line.claimed_rows().size() == 10);
    CHECK_FALSE(line.ask(small));
  }
  SUBCASE("for ten seconds") {
    line.insert("large", "normal", 20);
    CHECK(line.claimed_rows().size() == 10);
    const auto not_yet = line.ask(small);
    REQUIRE(not_yet);
    CHECK(not_yet->wait <= 10s);
    const auto large = line.made_up("large");
    SUBCASE("in which the other has got in line") {
      CHECK_FALSE(line.ask(large));
      line.let_pass("10 seconds");
      CHECK(hours(line.ask(small)) == doctest::Approx(1).epsilon(0.01));
    }
    SUBCASE("in which the other has not come") {
      line.let_pass("10 seconds");
      CHECK_FALSE(line.ask(small));
    }
    CHECK(not_yet->detail.find("more customers come at once") != std::string::npos);
  }
}

TEST_CASE("a row that a worker is looking at counts for the place of its account") {
  LineOfAccounts line;
  const auto second = line.made_up("second");
  line.insert("second", "urgent", 1);
  CHECK(line.claimed_rows().size() == 1);
  CHECK(line.ask(line.account));
  CHECK(hours(line.ask(second)) == doctest::Approx(1).epsilon(0.01));
}

TEST_CASE("a refusal corrects the bucket: the next token comes when the CA says") {
  LimitedCa ca(one_limit("certificates_per_registered_domain", 50, 7 * 24 * an_hour));
  store::write_hold(ca.database,
                    {.directory = ca.directory,
                     .account = ca.account,
                     .limit = {.scope = LimitScope::registered_domain, .subject = "busy.example"},
                     .names = {"a.busy.example"},
                     .domains = {"busy.example"}},
                    5 * an_hour, some_failure(FailureClass::limited));
  const auto refused = ca.open({"b.busy.example"}, {"busy.example"});
  CHECK(hours(refused.not_yet) == doctest::Approx(5).epsilon(0.01));
  CHECK(refused.not_yet->code == ErrorCode::on_hold);
  CHECK(ca.left("certificates_per_registered_domain", "busy.example") == 0);
  CHECK(ca.open({"quiet.example"}, {"quiet.example"}).order);
}

TEST_CASE("each scope of a refusal holds back just its own") {
  LimitedCa ca({});
  const auto refuse = [&](const UsedUpLimit& limit) {
    store::write_hold(ca.database,
                      {.directory = ca.directory,
                       .account = ca.account,
                       .limit = limit,
                       .names = {"a.example", "b.example"},
                       .domains = {"example"}},
                      an_hour, some_failure(FailureClass::limited));
  };
  SUBCASE("identifier") {
    refuse({.scope = LimitScope::identifier, .subject = "a.example"});
    CHECK(ca.open({"a.example"}).not_yet);
    CHECK(ca.open({"*.a.example"}).not_yet);
    CHECK(ca.open({"b.example"}).order);
  }
  SUBCASE("name set") {
    refuse({.scope = LimitScope::name_set});
    CHECK(ca.open({"b.example", "a.example"}).not_yet);
    CHECK(ca.open({"a.example"}).order);
  }
  SUBCASE("address: new accounts only") {
    refuse({.scope = LimitScope::address});
    CHECK(ca.open({"a.example"}).order);
    CHECK(store::take_account_token(ca.database, ca.directory, ca.account));
  }
}

TEST_CASE("limits that come into force are seeded from the history") {
  LimitedCa ca({});
  CHECK(ca.open({"a.example"}).order);
  ca.sql.run(
      "UPDATE csrq.acme_order SET status = 'pending', url = 'https://ca.example/order/1', finalize_url = "
      "'x'");
  store::set_rate_limits(ca.database, ca.directory, one_limit("new_orders_per_account", 10, an_hour));
  CHECK(ca.left("new_orders_per_account", std::to_string(store::number(ca.account))) == 9);
}

TEST_CASE("a bucket that is full again is dropped, one that rows have been promised tokens of is kept") {
  LimitedCa ca(one_limit("new_orders_per_account", 1, an_hour));
  CHECK(ca.open({"a.example"}).order);
  store::tidy(ca.database);
  CHECK(ca.sql.value("SELECT count(*) FROM csrq.rate_bucket") == "1");
  ca.sql.run("UPDATE csrq.rate_bucket SET full_at = now() - interval '1 second'");
  store::tidy(ca.database);
  CHECK(ca.sql.value("SELECT count(*) FROM csrq.rate_bucket") == "0");
}

TEST_CASE("an administrator's override holds for its key, and outlives a start of a worker") {
  LimitedCa ca(one_limit("certificates_per_registered_domain", 1, 24 * an_hour));
  ca.sql.run("INSERT INTO csrq.rate_limit (directory, name, key, burst, period) VALUES ('" + ca.directory +
             "', 'certificates_per_registered_domain', 'big.example', 1000, '7 days')");
  store::set_rate_limits(ca.database, ca.directory,
                         one_limit("certificates_per_registered_domain", 2, 24 * an_hour));
  CHECK(ca.left("certificates_per_registered_domain", "big.example") == 1000);
  CHECK(ca.left("certificates_per_registered_domain", "small.example") == 2);
}

TEST_CASE("csrq.rate_limits shows what is left, when the next can start, and what the CA said") {
  LimitedCa ca(one_limit("new_orders_per_account", 2, 2 * an_hour));
  CHECK(ca.open({"a.example"}).order);
  const auto lines = store::rate_limits(ca.database, "", "acme");
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].name == "new_orders_per_account");
  CHECK(lines[0].burst == 2);
  CHECK(lines[0].left == 1);
  CHECK_FALSE(lines[0].binds_renewals);
  CHECK(lines[0].source == "configuration");
  store::write_hold(
      ca.database,
      {.directory = ca.directory, .account = ca.account, .limit = {.scope = LimitScope::account}}, an_hour,
      some_failure(FailureClass::limited));
  const auto held = store::rate_limits(ca.database, "", "acme");
  REQUIRE(held.size() == 1);
  CHECK(held[0].reason == "no such name");
  CHECK(held[0].binds_renewals == true);
}

TEST_CASE("nobody is sent away for longer than a week because of what was promised to others") {
  LimitedCa ca(one_limit("certificates_per_registered_domain", 1, 24 * an_hour));
  for (int n = 0; n < 30; ++n) ca.open({"a.busy.example"}, {"busy.example"});
  CHECK(hours(ca.open({"b.busy.example"}, {"busy.example"}).not_yet) <= 8 * 24);
}

TEST_CASE("a bucket is never emptier than empty") {
  LimitedCa ca(one_limit("failed_validations_per_identifier", 5, an_hour));
  for (int failure = 0; failure < 60; ++failure)
    ca.sql.run("SELECT csrq.spend('" + ca.directory +
               "', '{failed_validations_per_identifier}', '{1 a.example}')");
  CHECK(ca.sql.value(
            "SELECT csrq.next_token_at('" + ca.directory +
            "', 'failed_validations_per_identifier', '1 a.example') <= now() + interval '13 minutes'") ==
        "t");
}

TEST_CASE("failures do not bring nearer what the CA has said of a bucket") {
  LimitedCa ca(one_limit("failed_validations_per_identifier", 5, an_hour));
  store::write_hold(ca.database,
                    {.directory = ca.directory,
                     .account = ca.account,
                     .limit = {.scope = LimitScope::identifier, .subject = "a.example"},
                     .names = {"a.example"},
                     .domains = {"a.example"}},
                    5 * an_hour, some_failure(FailureClass::limited));
  const std::string key = std::to_string(store::number(ca.account)) + " a.example";
  ca.sql.run("SELECT csrq.spend('" + ca.directory + "', '{failed_validations_per_identifier}', '{" + key +
             "}')");
  CHECK(ca.sql.value("SELECT csrq.next_token_at('" + ca.directory +
                     "', 'failed_validations_per_identifier', '" + key +
                     "') > now() + interval '299 minutes'") == "t");
}

TEST_CASE("two workers whose orders fail for the same names lock their buckets in one order") {
  LimitedCa ca(one_limit("failed_validations_per_identifier", 5, an_hour));
  const auto fence = ca.claimed();
  const auto id = ca.open(fence, {"a.example", "b.example"}).order.value().id;
  REQUIRE(store::record_order(ca.database, fence, Store::order_record(id, "https://ca.example/order/1")));
  const auto authorization = [](const std::string& url, const std::string& name, AuthorizationStatus status) {
    return store::AuthorizationRecord{
        .url = url, .identifier = name, .wildcard = false, .status = status, .expires = {}, .challenge = {}};
  };
  const std::string account = std::to_string(store::number(ca.account));
  ca.sql.run("INSERT INTO csrq.acme_authorization (account_id, customer, url) VALUES (" + account +
             ", 'acme', 'https://ca.example/authz/1'), (" + account +
             ", 'acme', 'https://ca.example/authz/2')");
  const auto record = [&](AuthorizationStatus status) {
    store::record_authorizations(ca.database, fence,
                                 {authorization("https://ca.example/authz/1", "b.example", status),
                                  authorization("https://ca.example/authz/2", "a.example", status)});
  };
  record(AuthorizationStatus::pending);

  pqxx::connection other(ca.test.url());
  pqxx::work holder(other);
  holder.exec("SELECT csrq.spend('" + ca.directory + "', '{failed_validations_per_identifier}', '{" +
              account + " b.example}')");
  std::jthread recorder([&] { record(AuthorizationStatus::invalid); });
  while (ca.sql.value("SELECT count(*) FROM pg_locks WHERE NOT granted") == "0") std::this_thread::yield();
  // It waits for b with a in its hands: whoever has b may not want a any more.
  CHECK(ca.sql.value("SELECT count(*) FROM (SELECT FROM csrq.rate_bucket WHERE key = '" + account +
                     " a.example' FOR UPDATE SKIP LOCKED) free") == "0");
  holder.commit();
}

TEST_CASE(
    "an order that the CA has refused costs nothing, one whose answer was lost may have cost its token") {
  for (const std::string code : {"rejectedIdentifier", "answer_lost"}) {
    CAPTURE(code);
    LimitedCa ca(one_limit("new_orders_per_account", 10, 24 * an_hour));
    const auto fence = ca.claimed();
    const auto opened = ca.open(fence, {"a.example"}).order.value();
    Failure why = some_failure(FailureClass::permanent);
    why.code = code;
    store::close_order(ca.database, fence, opened.id, OrderStatus::lost, why);
    CHECK(ca.left("new_orders_per_account", std::to_string(store::number(ca.account))) ==
          (code == "answer_lost" ? 9 : 10));
  }
}

TEST_CASE("what a CA said of one customer's row is told to that customer's rows, not to another's") {
  LimitedCa ca({});
  for (const LimitScope scope :
       {LimitScope::registered_domain, LimitScope::identifier, LimitScope::name_set}) {
    CAPTURE(to_string(scope));
    const auto refused = ca.claimed();
    Failure why = some_failure(FailureClass::limited);
    why.request = FailedRequest{};
    store::write_hold(ca.database,
                      {.directory = ca.directory,
                       .account = ca.account,
                       .request = refused.request,
                       .limit = {.scope = scope},
                       .names = {"a.example.org"},
                       .domains = {"example.org"}},
                      an_hour, why);
    const auto told = [&](const std::string& customer) {
      ca.submit({.customer = customer});
      return store::open_order(ca.database, ca.claim_one().fence, ca.account, {"a.example.org"},
                               {"example.org"})
          .not_yet.value();
    };
    CHECK(told("acme").detail == "no such name");
    CHECK(told("other").detail.starts_with("the CA has asked to wait with new orders"));
    ca.sql.run("DELETE FROM csrq.rate_hold");
  }
}

TEST_CASE("the sentence of a refusal is not shown to other customers' rows") {
  LimitedCa ca({});
  store::write_hold(ca.database,
                    {.directory = ca.directory, .account = ca.account, .limit = {.scope = LimitScope::ca}},
                    an_hour, some_failure(FailureClass::limited));
  CHECK(ca.open({"a.example"}).not_yet->detail.find("no such name") == std::string::npos);
}

TEST_CASE("a bucket that was looked at but never drawn on is shown as full") {
  LimitedCa ca(one_limit("new_accounts_per_address", 10, an_hour));
  ca.sql.run("DELETE FROM csrq.rate_bucket");
  store::write_hold(ca.database,
                    {.directory = ca.directory, .account = ca.account, .limit = {.scope = LimitScope::ca}},
                    an_hour, some_failure(FailureClass::limited));
  CHECK(store::take_account_token(ca.database, ca.directory, ca.account));
  CHECK(ca.left("new_accounts_per_address", "") == 10);
  const auto lines = store::rate_limits(ca.database, "", "");
  CHECK(std::ranges::count_if(lines, [](const auto& line) {
          return line.name == "new_accounts_per_address" && line.left == 10;
        }) == 1);
}

TEST_CASE("a limit that nobody can measure is refused") {
  LimitedCa ca({});
  CHECK(ca.sql
            .refusal("INSERT INTO csrq.rate_limit (directory, name, burst, period) VALUES ('d', "
                     "'new_orders_per_account', 10000000, '1 second')")
            .find("refill_is_measurable") != std::string::npos);
}

TEST_CASE("a wait that an administrator shortens is over for the rows that wait, too") {
  LimitedCa ca({});
  ca.submit({});
  store::write_hold(
      ca.database,
      {.directory = ca.directory, .account = ca.account, .limit = {.scope = LimitScope::account}},
      20 * 24 * an_hour, some_failure(FailureClass::limited));
  CHECK(store::claim(ca.database, ca.worker, 1, lease).empty());
  ca.sql.run("UPDATE csrq.rate_hold SET until = now()");
  CHECK(store::claim(ca.database, ca.worker, 1, lease).size() == 1);
}

TEST_CASE("a wait without an end is refused") {
  LimitedCa ca(one_limit("new_accounts_per_address", 1, an_hour));
  CHECK_THROWS_WITH(ca.sql.run("INSERT INTO csrq.rate_hold (directory, scope, key, until, error) VALUES ('" +
                               ca.directory + "', 'ca', '', 'infinity', '{}')"),
                    doctest::Contains("rate_hold_ends"));
  CHECK_THROWS_WITH(ca.sql.run("UPDATE csrq.rate_bucket SET full_at = 'infinity'"),
                    doctest::Contains("rate_bucket_fills"));
}
