#include <doctest/doctest.h>

#include "db/store_fixture.hpp"
#include "store/janitor.hpp"
#include "store/rate_limits.hpp"

using namespace csrq;
using namespace csrq::test;
using namespace std::chrono_literals;

namespace {

/// A CA of whose limits csrq knows nothing, which has accepted and refused things in the past.
struct UnknownCa : Store {
  std::string directory = some_owner().directory;
  store::AccountId account = store::find_or_create_account(database, some_owner(), some_key('a')).id;

  UnknownCa() { submit({}); }

  std::string id() const { return std::to_string(number(account)); }

  void accept_orders(int orders, store::AccountId of) {
    sql.run(
        "INSERT INTO csrq.acme_order (request_id, account_id, customer, worker_id, lease_number, url, "
        "finalize_url, status, closed_at)"
        " SELECT 1, " +
        std::to_string(number(of)) +
        ", 'acme', 1, 1, 'https://ca.example/order/' || nextval('csrq.lease_number'), "
        "'https://ca.example/f', 'valid', now()"
        "   FROM generate_series(1, " +
        std::to_string(orders) + ")");
  }
  void accept_orders(int orders) { accept_orders(orders, account); }

  /// A certificate of a row for this name.
  void issue(const std::string& name) {
    submit({});
    const auto claim = store::claim(database, worker, 1, lease, {.policy = AccountPolicy::shared}).at(0);
    const auto opened = store::open_order(database, claim.fence, account, {name}, {}).order.value();
    const std::string place = std::to_string(number(opened.id));
    REQUIRE(
        store::record_order(database, claim.fence, order_record(opened.id, "https://ca.example/" + place)));
    REQUIRE(store::complete(database, claim.fence, issued(opened.id, place)));
  }

  void refuse(Duration wait, LimitScope scope = LimitScope::account, const std::string& subject = {}) {
    refuse(wait, account, scope, subject);
  }
  void refuse(Duration wait, store::AccountId of, LimitScope scope = LimitScope::account,
              const std::string& subject = {}, store::RequestId request = {}) {
    store::write_hold(database,
                      {.directory = directory,
                       .account = of,
                       .request = request,
                       .limit = {.scope = scope, .subject = subject},
                       .names = {},
                       .domains = {}},
                      wait,
                      {.failure_class = FailureClass::limited, .code = "rateLimited", .detail = "too many"});
  }

  /// The wait is over, so many orders are accepted, and the next one is refused, for as long.
  void refuse_again(Duration wait, int accepted = 1) {
    pass(wait);
    accept_orders(accepted);
    refuse(wait);
  }

  void pass(Duration time) {
    const std::string interval = "interval '" + std::to_string(time / 1s) + " seconds'";
    for (const char* change :
         {"rate_hold SET until = until - $, counted_from = counted_from - $, refused_at = refused_at - $",
          "rate_bucket SET full_at = full_at - $", "rate_limit SET learnt_at = learnt_at - $",
          "acme_order SET created_at = created_at - $", "certificate SET issued_at = issued_at - $",
          "acme_account SET registered_at = registered_at - $"}) {
      std::string statement = std::string("UPDATE csrq.") + change;
      for (std::size_t at = 0; (at = statement.find('$', at)) != std::string::npos;)
        statement.replace(at, 1, interval);
      sql.run(statement);
    }
  }

  /// What was learnt: "name key: burst, one each seconds", one after the other.
  std::string learnt() {
    return sql.value(
        "SELECT coalesce(string_agg(format('%s %s: %s, one each %s s', name, key, burst,"
        "                                  round(extract(epoch FROM period) / burst)), '; ' ORDER BY name, "
        "key), '')"
        "  FROM csrq.rate_limit WHERE source = 'learnt'");
  }

  int tokens() {
    return std::stoi(
        sql.value("SELECT csrq.tokens('" + directory + "', 'new_orders_per_account', '" + id() + "')"));
  }
};

}  // namespace

TEST_CASE("a token bucket of an unknown CA is learnt from its second refusal") {
  UnknownCa ca;
  ca.accept_orders(300);
  ca.refuse(36s);
  CHECK(ca.learnt().empty());
  ca.refuse_again(36s);
  CHECK(ca.learnt() == "new_orders_per_account 1: 300, one each 36 s");
  // It is empty now, and has a token when the CA said.
  CHECK(ca.tokens() == 0);
  ca.pass(37s);
  CHECK(ca.tokens() == 1);
}

TEST_CASE("a fixed window of an unknown CA is learnt from its second refusal") {
  UnknownCa ca;
  ca.accept_orders(100);
  ca.pass(10min);
  ca.refuse(50min);
  ca.pass(50min);
  ca.accept_orders(100);
  ca.pass(1min);
  ca.refuse(59min);
  CHECK(ca.learnt() == "new_orders_per_account 1: 100, one each 36 s");
}

TEST_CASE("refusals within a wait that the CA asked for teach nothing") {
  UnknownCa ca;
  ca.refuse(36s);
  ca.accept_orders(5);
  ca.refuse(36s);
  CHECK(ca.learnt().empty());
}

TEST_CASE("a wait after which the CA accepts nothing counts for the next one") {
  UnknownCa ca;
  ca.refuse(10s);
  for (int time = 0; time < 5; ++time) {
    ca.pass(10s);
    ca.refuse(10s);
  }
  CHECK(ca.learnt().empty());
  ca.refuse_again(10s);
  CHECK(ca.learnt() == "new_orders_per_account 1: 1, one each 60 s");
}

TEST_CASE("what a CA accepts after a time in which nothing was asked for teaches nothing") {
  UnknownCa ca;
  ca.accept_orders(10);
  ca.refuse(60s);
  ca.pass(3h);
  ca.accept_orders(10);
  ca.refuse(60s);
  CHECK(ca.learnt().empty());
  ca.pass(60s);
  ca.accept_orders(1);
  ca.pass(1h);
  ca.refuse(60s);
  CHECK(ca.learnt().empty());
  ca.refuse_again(60s);
  CHECK(ca.learnt() == "new_orders_per_account 1: 10, one each 60 s");
}

TEST_CASE("a limit that is configured is not learnt") {
  UnknownCa ca;
  store::set_rate_limits(ca.database, ca.directory,
                         {{"new_orders_per_account", {.burst = 10, .period = 1h}}});
  ca.refuse(36s);
  ca.refuse_again(36s);
  CHECK(ca.learnt().empty());
}

TEST_CASE("each account learns its own limit") {
  UnknownCa ca;
  const auto other = store::find_or_create_account(ca.database, some_owner("other"), some_key('b')).id;
  const auto learn = [&](store::AccountId account, Duration wait) {
    ca.refuse(wait, account);
    ca.pass(wait);
    ca.accept_orders(1, account);
    ca.refuse(wait, account);
  };
  learn(ca.account, 60s);
  learn(other, 120s);
  CHECK(ca.learnt() ==
        "new_orders_per_account 1: 1, one each 60 s; new_orders_per_account 2: 1, one each 120 s");
}

TEST_CASE("a row that is refused alone, while others of its account are accepted, teaches nothing") {
  UnknownCa ca;
  const auto again = ca.submit({});
  ca.refuse(60s, ca.account, LimitScope::account, {}, again);
  ca.pass(60s);
  ca.accept_orders(5);
  ca.refuse(60s, ca.account, LimitScope::account, {}, again);
  CHECK(ca.learnt().empty());
  ca.pass(60s);
  ca.accept_orders(1);
  ca.refuse(60s, ca.account, LimitScope::account, {}, ca.submit({}));
  CHECK(ca.learnt() == "new_orders_per_account 1: 5, one each 20 s");
}

TEST_CASE("a limit of certificates is learnt for the registered domain, or set of names, that was refused") {
  UnknownCa ca;
  for (const char* name :
       {"example.org", "a.example.org", "b.example.org", "an-example.org", "c.example.com"})
    ca.issue(name);
  ca.refuse(1h, LimitScope::registered_domain, "example.org");
  ca.refuse(1h, LimitScope::registered_domain, "example.com");
  ca.pass(1h);
  for (const char* name : {"c.example.org", "d.example.org", "x.an-example.org"}) ca.issue(name);
  ca.refuse(1h, LimitScope::registered_domain, "example.org");
  ca.refuse(1h, LimitScope::registered_domain, "example.com");
  CHECK(ca.learnt() == "certificates_per_registered_domain example.org: 3, one each 1800 s");
  CHECK(ca.sql.value("SELECT count(*) FROM csrq.rate_limits WHERE key = 'example.org'") == "1");
}

TEST_CASE("a limit of new accounts is learnt from those that were registered") {
  UnknownCa ca;
  const auto registered = [&](const std::string& owner, char key) {
    const auto made = store::find_or_create_account(ca.database, some_owner(owner), some_key(key)).id;
    store::account_registered(ca.database, made,
                              {.status = AccountStatus::valid, .url = "https://ca.example/account/" + owner});
  };
  registered("one", '1');
  ca.refuse(10min, LimitScope::address);
  ca.pass(10min);
  registered("two", '2');
  ca.refuse(10min, LimitScope::address);
  CHECK(ca.learnt() == "new_accounts_per_address : 1, one each 600 s");
}

TEST_CASE("orders that are on their way count as accepted") {
  UnknownCa ca;
  ca.refuse(60s);
  ca.pass(60s);
  ca.accept_orders(2);
  ca.sql.run("UPDATE csrq.rate_hold SET may_go = may_go + 2");  // with each of them one more
  for (const char* name : {"b.example", "c.example"}) {
    ca.submit({});
    const auto claim =
        store::claim(ca.database, ca.worker, 1, lease, {.policy = AccountPolicy::shared}).at(0);
    REQUIRE(store::open_order(ca.database, claim.fence, ca.account, {name}, {}).order);
  }
  ca.refuse(60s);
  CHECK(ca.learnt() == "new_orders_per_account 1: 4, one each 15 s");
}

TEST_CASE("a wait that is far longer than the one before teaches nothing: it is for another limit") {
  UnknownCa ca;
  ca.refuse(10s);
  ca.pass(10s);
  ca.accept_orders(5);
  ca.refuse(24h);
  CHECK(ca.learnt().empty());
  CHECK(ca.sql.value("SELECT until > now() + interval '23 hours' FROM csrq.rate_hold") == "t");
}

TEST_CASE("what is learnt fills within a month, whatever the CA says") {
  UnknownCa ca;
  ca.accept_orders(100);
  ca.refuse(24h);
  ca.refuse_again(24h);
  CHECK(ca.learnt() == "new_orders_per_account 1: 30, one each 86400 s");
}

TEST_CASE("an administrator's limit takes the place of what was learnt, and so do figures changed by hand") {
  UnknownCa ca;
  ca.refuse(60s);
  ca.refuse_again(60s);
  REQUIRE(ca.tokens() == 0);
  const std::string its_key = "'" + ca.directory + "', 'new_orders_per_account', ";
  SUBCASE("for this account") {
    ca.sql.run("INSERT INTO csrq.rate_limit (directory, name, key, burst, period) VALUES (" + its_key +
               "'1', 10, '1 hour')");
    CHECK(ca.tokens() == 10);
  }
  SUBCASE("for all") {
    ca.sql.run("INSERT INTO csrq.rate_limit (directory, name, burst, period) VALUES (" + its_key +
               "10, '1 hour')");
    CHECK(ca.tokens() == 10);
  }
  SUBCASE("changed") {
    ca.sql.run("UPDATE csrq.rate_limit SET burst = 10, period = '1 hour'");
  }
  CHECK(ca.sql.value("SELECT source || burst FROM csrq.rate_limit") == "administrator10");
  CHECK(ca.sql.value("SELECT learnt_at FROM csrq.rate_limit").empty());
}

TEST_CASE("without the limit that was learnt its bucket means nothing") {
  UnknownCa ca;
  ca.refuse(60s);
  ca.refuse_again(60s);
  CHECK(ca.sql.value("SELECT count(*) FROM csrq.rate_bucket") == "1");
  ca.sql.run("DELETE FROM csrq.rate_limit WHERE source = 'learnt'");
  CHECK(ca.sql.value("SELECT count(*) FROM csrq.rate_bucket") == "0");
}

TEST_CASE("what is learnt of one account wakes nobody else's turn") {
  UnknownCa ca;
  ca.submit({.customer = "other"});
  store::claim(ca.database, ca.worker, 1, lease, {.policy = AccountPolicy::shared});
  ca.sql.run(
      "INSERT INTO csrq.turn (lane, customer, turn_at) VALUES (1, 'acme', now() + interval '1 hour'), (1, "
      "'third', now() + interval '1 hour') ON CONFLICT (lane, customer) DO UPDATE SET turn_at = "
      "EXCLUDED.turn_at");
  ca.refuse(60s);
  ca.refuse_again(60s);
  const auto waiting = [&] {
    return ca.sql.value(
        "SELECT string_agg(customer, ' ' ORDER BY customer) FROM csrq.turn WHERE turn_at > now()");
  };
  CHECK(waiting() == "acme third");
  ca.sql.run("DELETE FROM csrq.rate_limit");
  CHECK(waiting() == "third");
}

TEST_CASE("what was learnt is put right for an hour, then kept") {
  UnknownCa ca;
  ca.refuse(60s);
  ca.refuse_again(60s, 4);
  CHECK(ca.learnt() == "new_orders_per_account 1: 4, one each 15 s");
  ca.refuse_again(60s);
  CHECK(ca.learnt() == "new_orders_per_account 1: 4, one each 60 s");
  ca.pass(1h);
  ca.refuse(60s);
  ca.refuse_again(60s, 4);
  CHECK(ca.learnt() == "new_orders_per_account 1: 4, one each 60 s");
}

TEST_CASE("a refusal of what was sent before the wait was over teaches nothing") {
  UnknownCa ca;
  ca.refuse(60s);
  ca.pass(60s);
  ca.accept_orders(1);
  ca.sql.run("SELECT csrq.write_hold('" + ca.directory +
             "', 'account', 1, NULL, NULL, '1 minute', '{\"request\": {\"milliseconds\": 9000}}')");
  CHECK(ca.learnt().empty());
}

TEST_CASE("one customer's refusals do not slow down a shared account from which others get their orders") {
  UnknownCa ca;
  const auto theirs = [&] { return ca.submit({.customer = "evil"}); };
  ca.refuse(60s, ca.account, LimitScope::account, {}, theirs());
  ca.pass(60s);
  ca.accept_orders(3);
  ca.refuse(60s, ca.account, LimitScope::account, {}, theirs());
  CHECK(ca.learnt().empty());
  ca.pass(60s);
  ca.refuse(60s, ca.account, LimitScope::account, {}, ca.submit({}));
  CHECK(ca.learnt() == "new_orders_per_account 1: 3, one each 40 s");
}

TEST_CASE("a limit that is configured over a learnt one knows what was spent") {
  UnknownCa ca;
  ca.sql.run("UPDATE csrq.acme_account SET registered_at = now()");
  const auto learn = [&](LimitScope scope, const std::string& subject) {
    ca.sql.run(
        "INSERT INTO csrq.rate_limit (directory, name, key, burst, period, source, learnt_at) VALUES ('" +
        ca.directory + "', '" +
        (scope == LimitScope::address ? "new_accounts_per_address" : "certificates_per_registered_domain") +
        "', '" + subject + "', 1, '1 hour', 'learnt', now())");
  };
  const auto tokens = [&](const std::string& name, const std::string& key) {
    return ca.sql.value("SELECT csrq.tokens('" + ca.directory + "', '" + name + "', '" + key + "')");
  };
  learn(LimitScope::address, "");
  learn(LimitScope::registered_domain, "example.org");
  const RateLimit accounts{.burst = 10, .period = 3h};
  const RateLimit certificates{.burst = 50, .period = 168h};
  store::seed_domains(ca.database, ca.directory, certificates, {"example.org", "example.org"},
                      {"now", "now"});
  store::set_rate_limits(
      ca.database, ca.directory,
      {{"new_accounts_per_address", accounts}, {"certificates_per_registered_domain", certificates}});
  CHECK(tokens("new_accounts_per_address", "") == "9");
  CHECK(tokens("certificates_per_registered_domain", "example.org") == "48");
}

TEST_CASE("a burst that is put right to less leaves the bucket empty, not more than empty") {
  UnknownCa ca;
  ca.sql.run(
      "INSERT INTO csrq.rate_limit (directory, name, key, burst, period, source, learnt_at) VALUES ('" +
      ca.directory + "', 'new_orders_per_account', '1', 1000, '1000 seconds', 'learnt', now())");
  ca.sql.run("SELECT csrq.spend('" + ca.directory +
             "', ARRAY['new_orders_per_account'], ARRAY['1']) FROM generate_series(1, 1000)");
  ca.sql.run(
      "UPDATE csrq.rate_limit SET burst = 10, period = '600 seconds', corrected_at = clock_timestamp()");
  CHECK(ca.sql.value("SELECT full_at <= now() + interval '600 seconds' FROM csrq.rate_bucket") == "t");
}

TEST_CASE("orders keep to a limit that was learnt, and say whose it is") {
  UnknownCa ca;
  ca.refuse(60s);
  ca.refuse_again(60s, 2);
  ca.pass(60s);
  const auto open = [&] {
    ca.submit({});
    const auto claim =
        store::claim(ca.database, ca.worker, 1, lease, {.policy = AccountPolicy::shared}).at(0);
    return store::open_order(ca.database, claim.fence, ca.account, {"a.example"}, {});
  };
  const auto first = open();
  REQUIRE(first.order);
  CHECK(first.order->is_charged);
  const auto second = open();
  REQUIRE(second.not_yet);
  CHECK(second.not_yet->code == "rate_limit");
}

TEST_CASE("a worker that starts keeps what was learnt, until somebody configures the limit") {
  UnknownCa ca;
  ca.refuse(60s);
  ca.refuse_again(60s);
  store::set_rate_limits(ca.database, ca.directory, {});
  CHECK(ca.learnt() == "new_orders_per_account 1: 1, one each 60 s");
  store::set_rate_limits(ca.database, ca.directory,
                         {{"new_orders_per_account", {.burst = 10, .period = 1h}}});
  CHECK(ca.learnt().empty());
  CHECK(ca.sql.value("SELECT burst FROM csrq.rate_limit") == "10");
}

TEST_CASE("a learnt limit is forgotten after a week and can be learnt anew") {
  UnknownCa ca;
  ca.refuse(60s);
  ca.refuse_again(60s);
  ca.pass(144h);
  store::tidy(ca.database);
  CHECK(ca.learnt() == "new_orders_per_account 1: 1, one each 60 s");
  ca.pass(48h);
  store::tidy(ca.database);
  CHECK(ca.learnt().empty());
  ca.refuse(30s);
  ca.refuse_again(30s);
  CHECK(ca.learnt() == "new_orders_per_account 1: 1, one each 30 s");
}
