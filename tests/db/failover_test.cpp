#include <doctest/doctest.h>

#include <filesystem>
#include <future>
#include <thread>

#include "base/error.hpp"
#include "db/store_fixture.hpp"
#include "embedded/process.hpp"
#include "store/migrations.hpp"

using namespace csrq;
using namespace csrq::test;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

/// A primary, and a hot standby that follows it.
struct Pair {
  Pair() {
    {
      Sql sql(primary.url());
      sql.run("CREATE TABLE number (n int PRIMARY KEY)");
      primary_socket = sql.socket_folder();
    }
    primary.stop();
    const fs::path copy = folder / "standby";
    fs::create_directories(copy);
    // As root the data are the server's user's, and must stay so.
    for (const auto& [from, to] : {std::pair{"primary/data", "standby/data"},
                                   std::pair{"primary/data/PG_VERSION", "standby/data/standby.signal"}})
      if (const auto outcome = embedded::run({.command = {"cp", "-a", folder / from, folder / to}});
          outcome.exit_code != 0)
        throw std::runtime_error(outcome.output);
    primary.start();
    standby = std::make_unique<embedded::Cluster>(
        embedded::ClusterOptions{.folder = copy,
                                 .fsync = false,
                                 .settings = {{"primary_conninfo", "user=postgres host=" + primary_socket}}});
    standby_socket = Sql(standby->url()).socket_folder();
  }

  std::string url_of_both() const {
    return "postgresql://postgres@/postgres?host=" + primary_socket + "," + standby_socket +
           "&port=5432,5432";
  }
  void promote() { Sql(standby->url()).run("SELECT pg_promote()"); }

  fs::path folder{[] {
    static int count = 0;
    return run_folder() / ("pair" + std::to_string(++count));
  }()};
  embedded::Cluster primary{{.folder = folder / "primary", .fsync = false}};
  std::unique_ptr<embedded::Cluster> standby{};
  std::string primary_socket{};
  std::string standby_socket{};
};

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
  Pair pair;
  store::Database database({.url = pair.url_of_both(), .patience = 60s});
  database.run(insert(1));
  Sql standby(pair.standby->url());
  while (standby.value("SELECT count(*) FROM number") != "1") std::this_thread::sleep_for(10ms);

  pair.primary.stop(embedded::Shutdown::immediate);
  auto call = std::async(std::launch::async, [&] { database.run(insert(2)); });
  CHECK(call.wait_for(300ms) == std::future_status::timeout);  // the standby takes no writes: it is not used
  pair.promote();
  CHECK_NOTHROW(call.get());
  CHECK(standby.value("SELECT string_agg(n::text, ' ' ORDER BY n) FROM number") == "1 2");

  store::Database another({.url = pair.url_of_both()});  // the first of the hosts is still down
  CHECK_NOTHROW(another.run(insert(3)));
}

TEST_CASE("a standby named by mistake is not used, and the message says what it is") {
  Pair pair;
  const std::string message = unreachable(pair.standby->url());
  CHECK_MESSAGE(message.find("it is a standby") != std::string::npos, message);
  CHECK(message.find("database.url must name the primary") != std::string::npos);
  pair.promote();
  CHECK(unreachable(pair.standby->url()) == "reached");
}

TEST_CASE("events that a promotion has lost are not missed by cursors that have seen them") {
  Pair pair;
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
    Sql standby(pair.standby->url());
    while (standby.value("SELECT count(*) FROM pg_class WHERE relname = 'event'") != "1" ||
           standby.value("SELECT count(*) FROM csrq.event") != "1")
      std::this_thread::sleep_for(10ms);
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
