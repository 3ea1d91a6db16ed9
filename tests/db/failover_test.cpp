#include <doctest/doctest.h>

#include <future>
#include <thread>

#include "base/error.hpp"
#include "db/connection_proxy.hpp"
#include "db/store_fixture.hpp"
#include "store/migrations.hpp"
#include "support/cluster_pair.hpp"

using namespace csrq;
using namespace csrq::test;
using namespace std::chrono_literals;

namespace {

std::function<void(pqxx::transaction_base&)> insert(int n) {
  return [n](pqxx::transaction_base& transaction) {
    transaction.exec("INSERT INTO public.number VALUES (" + std::to_string(n) + ")");
  };
}

std::string unreachable(const std::string& url) {
  try {
    store::Database database({.url = url});
    return "reached";
  } catch (const Unreachable& error) {
    return error.what();
  }
}

}  // namespace

TEST_CASE("when the first host of the url crashes, work waits until another is promoted, and goes on there") {
  ClusterPair pair;
  Sql(pair.primary.url()).run("CREATE TABLE number (n int PRIMARY KEY)");
  store::Database database({.url = pair.url(), .patience = 60s});
  database.run(insert(1));
  pair.wait_until_caught_up();
  Sql standby(pair.standby->url());

  pair.primary.stop(embedded::Shutdown::immediate);
  auto call = std::async(std::launch::async, [&] { database.run(insert(2)); });
  CHECK(call.wait_for(300ms) == std::future_status::timeout);  // the standby takes no writes: it is not used
  pair.promote();
  CHECK_NOTHROW(call.get());
  CHECK(standby.value("SELECT string_agg(n::text, ' ' ORDER BY n) FROM number") == "1 2");

  store::Database another({.url = pair.url()});  // the first of the hosts is still down
  CHECK_NOTHROW(another.run(insert(3)));
}

TEST_CASE("a standby named by mistake is not used, and the message says what it is") {
  ClusterPair pair;
  const std::string message = unreachable(pair.standby->url());
  CHECK_MESSAGE(message.find("it is a standby") != std::string::npos, message);
  CHECK(message.find("database.url must name the primary") != std::string::npos);
  pair.promote();
  CHECK(unreachable(pair.standby->url()) == "reached");
}

TEST_CASE("a promotion ends all leases, and no id that the lost time has given is given again") {
  ClusterPair pair;
  std::vector<store::Claim> kept;
  std::vector<store::Claim> lost;
  store::WorkerId lost_worker{};
  store::WorkerId worker{};
  {
    store::Database database({.url = pair.primary.url()});
    store::migrate(database, {});
    store::submit(database, {{.customer = "acme", .csr = some_csr}});
    worker = store::worker_start(database, "host", 1, "1");
    kept = store::claim(database, worker, 1, lease);
    pair.wait_until_caught_up();
    pair.cut_replication();
    for (int i = 0; i < 100; ++i) store::submit(database, {{.customer = "acme", .csr = some_csr}});
    lost_worker = store::worker_start(database, "host", 2, "1");
    lost = store::claim(database, lost_worker, 100, lease);
  }
  REQUIRE(kept.size() == 1);
  REQUIRE(lost.size() == 100);
  CHECK(Sql(pair.standby->url()).value("SELECT count(*) FROM csrq.job WHERE status = 'leased'") == "1");

  pair.fail_over();
  Sql app(pair.standby->url());
  const std::string insert =
      "INSERT INTO csrq.request (customer, csr) VALUES ('acme', '" + some_csr + "') RETURNING id";
  const std::int64_t first_id = std::stoll(app.value(insert));  // before any worker has come
  store::Database database({.url = pair.url()});
  CHECK(app.value("SELECT count(*) FROM csrq.job WHERE status = 'leased'") == "0");
  CHECK_FALSE(store::is_registered(database, worker));
  CHECK_FALSE(store::is_registered(database, lost_worker));
  CHECK_FALSE(store::drop_cancelled(database, kept.front().fence));
  CHECK(first_id > store::number(lost.back().fence.request));
  const store::WorkerId again = store::worker_start(database, "host", 1, "1");
  CHECK(store::number(again) > store::number(lost_worker));
  CHECK(store::is_registered(database, again));
  for (const store::Claim& claim : store::claim(database, again, 10, lease))
    CHECK(store::number(claim.fence.lease) > store::number(lost.back().fence.lease));
  CHECK(database.since_promotion().has_value());
  store::Database another({.url = pair.url()});
  CHECK(store::is_registered(another, again));
}

TEST_CASE("a restart of the server ends no lease, and skips no ids") {
  ClusterPair pair;
  {
    store::Database database({.url = pair.primary.url()});
    store::migrate(database, {});
    store::submit(database, {{.customer = "acme", .csr = some_csr}});
    REQUIRE(store::claim(database, store::worker_start(database, "host", 1, "1"), 1, lease).size() == 1);
  }
  pair.primary.restart(embedded::Shutdown::immediate);
  store::Database database({.url = pair.primary.url()});
  Sql sql(pair.primary.url());
  CHECK(sql.value("SELECT count(*) FROM csrq.job WHERE status = 'leased'") == "1");
  CHECK(store::number(store::submit(database, {{.customer = "acme", .csr = some_csr}}).front().id) < 100);
  CHECK_FALSE(database.since_promotion().has_value());
}

TEST_CASE("a commit in doubt is not taken for another transaction's of the server that was promoted") {
  ClusterPair pair;
  {
    store::Database database({.url = pair.primary.url()});
    store::migrate(database, {});
  }
  Sql(pair.primary.url())
      .run(
          "CREATE TABLE number (n int PRIMARY KEY); CREATE ROLE shop LOGIN IN ROLE csrq_app; "
          "GRANT INSERT ON number TO shop");
  pair.wait_until_caught_up();
  pair.cut_replication();
  std::string login;
  SUBCASE("by a worker") {
    login = "postgres";
  }
  SUBCASE("by an app") {
    login = "shop";
  }
  ConnectionProxy proxy(pair.primary.url());
  Sql standby(pair.standby->url());
  const std::string behind_proxy = proxy.url();  // host=… first
  // The standby comes first: after its promotion nobody asks the old primary.
  store::Database database({.url = "host=" + standby.socket_folder() + "," +
                                   behind_proxy.substr(5, behind_proxy.find(' ') - 5) +
                                   " port=5432,5432 dbname=postgres user=" + login});
  proxy.cut_at_next_commit(ConnectionProxy::Cut::before);
  int runs = 0;
  database.run([&](pqxx::transaction_base& transaction) {
    insert(1)(transaction);
    if (++runs > 1) return;
    const std::string number = transaction.exec("SELECT pg_current_xact_id()")[0][0].c_str();
    pair.promote();
    while (standby.value("SELECT pg_current_xact_id() > '" + number + "'") != "t") {
    }
  });
  CHECK(runs == 2);
  CHECK(standby.value("SELECT count(*) FROM number") == "1");
}

TEST_CASE("events that a promotion has lost are not missed by cursors that have seen them") {
  ClusterPair pair;
  {
    store::Database database({.url = pair.primary.url()});
    store::migrate(database, {});
  }
  const std::string write = "INSERT INTO csrq.event (customer, what) VALUES ('acme', 'issued')";
  const std::string read = "SELECT count(*) FROM csrq.events_since('";
  std::string cursor;
  std::string cursor_ahead;
  {
    Sql primary(pair.primary.url());
    primary.run(write);
    cursor = primary.value("SELECT csrq.current_cursor()");
    pair.wait_until_caught_up();
    pair.standby->stop();
    for (int i = 0; i < 100; ++i) primary.run(write);  // the standby never gets these
    cursor_ahead = primary.value("SELECT csrq.current_cursor()");
  }
  pair.primary.stop(embedded::Shutdown::immediate);
  pair.standby->start();
  Sql standby(pair.standby->url());
  CHECK(standby.value(read + cursor_ahead + "')") == "0");  // a standby that is behind: nothing is wrong
  pair.promote();
  CHECK(standby.value(read + cursor + "')") == "0");
  standby.run(write);
  CHECK(standby.value(read + cursor + "')") == "1");
  CHECK(standby.value(read + cursor_ahead + "')") == "1");
  for (int i = 0; i < 200; ++i) standby.run(write);  // the ids pass those that were lost
  CHECK(standby.value(read + cursor_ahead + "')") == "201");
}

TEST_CASE("a server that becomes read-only is waited for, and taken up again when it takes writes") {
  Store store;
  store::Database database({.url = store.test.url(), .patience = 200ms});
  const auto submit = [&] {
    return store::submit(database, {{.customer = "acme", .csr = some_csr, .reference = "r"}});
  };
  const auto set_read_only = [&](const std::string& value) {
    store.sql.run("SET default_transaction_read_only = off");
    store.sql.run("ALTER SYSTEM SET default_transaction_read_only = " + value);
    store.sql.run("SELECT pg_reload_conf()");
    Sql other(store.test.url());
    while (other.value("SHOW default_transaction_read_only") != value) std::this_thread::sleep_for(10ms);
  };
  set_read_only("on");
  CHECK_THROWS_AS(submit(), Unreachable);
  set_read_only("off");
  CHECK(submit().at(0).created);
  CHECK_FALSE(submit().at(0).created);
}

TEST_CASE("a serialization failure is tried again") {
  Store store;
  int runs = 0;
  store.database.run([&](pqxx::transaction_base& transaction) {
    if (++runs < 3)
      transaction.exec("DO $$ BEGIN RAISE EXCEPTION 'could not serialize' USING ERRCODE = '40001'; END $$");
  });
  CHECK(runs == 3);
}
