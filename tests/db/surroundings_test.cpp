#include <doctest/doctest.h>

#include <memory>
#include <thread>

#include "base/error.hpp"
#include "db/store_fixture.hpp"
#include "store/health.hpp"
#include "store/migrations.hpp"

using namespace csrq;
using namespace csrq::test;
using namespace std::chrono_literals;

namespace {

/// A new database, made as `how` says.
std::string database_made(const std::string& how) {
  static int count = 0;
  const std::string name = "csrq_odd_" + std::to_string(++count);
  Sql(cluster().url()).run("CREATE DATABASE " + name + " TEMPLATE template0 " + how);
  return cluster().url(name);
}

std::string why_not(const std::string& url, store::Access access = store::Access::read_write) {
  try {
    const store::Database database({.url = url, .access = access, .patience = 300ms});
    return "usable";
  } catch (const std::exception& error) {
    return error.what();
  }
}

/// What a database or a login may have set, each as far from what csrq was written with as it can be.
void set_oddly(const std::string& subject, Sql& sql) {
  for (const char* setting :
       {"DateStyle = 'SQL, DMY'", "TimeZone = 'Asia/Kolkata'", "IntervalStyle = 'sql_standard'",
        "search_path = 'impostor', 'pg_catalog'", "default_transaction_read_only = on",
        "default_transaction_isolation = 'serializable'", "default_transaction_deferrable = on",
        "row_security = off", "standard_conforming_strings = off", "bytea_output = 'escape'",
        "extra_float_digits = -3", "lock_timeout = '1min'"})
    sql.run("ALTER " + subject + " SET " + setting);
}

/// Functions of PostgreSQL's names that come first in the search path of `set_oddly`.
void make_impostors(Sql& sql) {
  sql.run("CREATE SCHEMA impostor");
  sql.run("GRANT USAGE ON SCHEMA impostor TO PUBLIC");
  for (const char* function :
       {"now() RETURNS timestamptz LANGUAGE sql AS $$ SELECT 'infinity'::timestamptz $$",
        "clock_timestamp() RETURNS timestamptz LANGUAGE sql AS $$ SELECT 'infinity'::timestamptz $$",
        "lower(text) RETURNS text LANGUAGE sql AS $$ SELECT 'stolen'::text $$",
        "reverse(text) RETURNS text LANGUAGE sql AS $$ SELECT 'stolen'::text $$",
        "random() RETURNS double precision LANGUAGE sql AS $$ SELECT 0.0::double precision $$",
        "pg_has_role(name, name, text) RETURNS boolean LANGUAGE sql AS $$ SELECT true $$"})
    sql.run(std::string("CREATE FUNCTION impostor.") + function);
}

store::RequestId issue(store::Database& database, store::WorkerId worker, const std::string& serial,
                       Time not_after) {
  const store::Claim claim = store::claim(database, worker, 1, lease).at(0);
  const auto account = store::find_or_create_account(database, some_owner(), some_key('a'));
  const auto opened = store::open_order(database, claim.fence, account.id, {"a.example"}, {});
  CHECK(store::record_order(database, claim.fence,
                            Store::order_record(opened.order->id, "https://ca.example/order/" + serial)));
  store::Issued issued = Store::issued(opened.order->id, serial);
  issued.not_after = not_after;
  CHECK(store::complete(database, claim.fence, issued));
  return claim.fence.request;
}

/// A row's way from its insert by an app to its chain and its events, under the settings of the logins.
void check_works(const std::string& worker_url, const std::string& app_url, const std::string& monitor_url) {
  Sql app(app_url);
  app.run("SET default_transaction_read_only = off");
  app.run("SET row_security = on");  // without it PostgreSQL lets nobody read but whoever may bypass it
  app.run("INSERT INTO csrq.request (customer, csr) VALUES ('acme', '" + some_csr + "')");

  store::Database database({.url = worker_url});
  store::require_schema(database);
  const auto worker = store::worker_start(database, "host", 1, "test");
  const Time not_after = std::chrono::floor<std::chrono::seconds>(now()) + std::chrono::hours(24 * 90);
  const auto id = issue(database, worker, "01", not_after);

  const auto line = store::status(database, {.id = id, .domain = {}, .customer = {}}).at(0);
  CHECK(line.state == "issued");
  CHECK(line.not_after == to_rfc3339(std::chrono::floor<std::chrono::seconds>(not_after)));
  store::Database monitor({.url = monitor_url});
  CHECK(store::health(monitor, 24h, 1h, {}).workers == 1);
  CHECK(app.value("SELECT csrq.renew(" + std::to_string(store::number(id)) + ")") == "t");
  issue(database, worker, "02", not_after);
  CHECK(app.value("SELECT string_agg(what, ' ') FROM csrq.events_since('1:1:')") ==
        "claimed issued renew_requested claimed renewed");
}

}  // namespace

TEST_CASE("an encoding other than UTF8 is refused with the one found and what to do, by whoever connects") {
  for (const char* encoding : {"LATIN1", "WIN1252", "SQL_ASCII", "EUC_JP"}) {
    CAPTURE(encoding);
    const std::string url =
        database_made(std::string("ENCODING '") + encoding + "' LC_COLLATE 'C' LC_CTYPE 'C'");
    for (const store::Access access : {store::Access::read_write, store::Access::read_only}) {
      const std::string sentence = why_not(url, access);
      CHECK_MESSAGE(sentence.find(std::string("has the encoding ") + encoding) != std::string::npos,
                    sentence);
      CHECK(sentence.find("createdb -E UTF8 -T template0") != std::string::npos);
    }
    CHECK_THROWS_AS(store::Database({.url = url}), UsageError);
  }
}

TEST_CASE("whatever the database has set, rows are issued and apps read what they should") {
  const TestDatabase test;
  Sql sql(test.url());
  const std::string worker = test.url_as("odd_worker");
  const std::string shop = test.url_as("odd_shop");
  const std::string monitor = test.url_as("odd_monitor");
  sql.run("GRANT csrq_worker TO odd_worker");
  sql.run("GRANT csrq_dba TO odd_monitor");
  sql.run("GRANT csrq_app TO odd_shop");
  sql.run("INSERT INTO csrq.app_access (role_name, customer) VALUES ('odd_shop', 'acme')");
  make_impostors(sql);
  set_oddly("DATABASE " + sql.value("SELECT current_database()"), sql);
  check_works(worker, shop, monitor);
}

TEST_CASE("who only reads stays so where transactions are read-only by default, and who writes can write") {
  const TestDatabase test;
  Sql sql(test.url());
  sql.run("ALTER DATABASE " + sql.value("SELECT current_database()") +
          " SET default_transaction_read_only = on");
  const auto is_read_only = [&](store::Access access) {
    store::Database database({.url = test.url(), .access = access});
    std::string answer;
    database.run([&](pqxx::transaction_base& transaction) {
      answer = transaction.exec("SHOW transaction_read_only")[0][0].c_str();
    });
    return answer == "on";
  };
  CHECK(is_read_only(store::Access::read_only));
  CHECK_FALSE(is_read_only(store::Access::read_write));
}

TEST_CASE("whatever the login has set, a database is migrated and rows are issued") {
  const std::string url = empty_database_url();
  Sql sql(url);
  make_impostors(sql);
  sql.run("CREATE ROLE odd_owner LOGIN SUPERUSER");
  set_oddly("ROLE odd_owner", sql);
  const std::string as_owner = "postgresql://odd_owner@" + url.substr(url.find('/', 13));
  {
    store::Database database({.url = as_owner});
    store::migrate(database, {});
  }
  check_works(as_owner, as_owner, as_owner);
  CHECK(sql.value(
            "SELECT count(*) FROM pg_catalog.pg_class c WHERE c.relnamespace = 'impostor'::regnamespace") ==
        "0");
  sql.run("DROP ROLE odd_owner");
}

TEST_CASE("the months of the history begin at midnight UTC, wherever the session that makes them is") {
  const TestDatabase test;
  Sql sql(test.url());
  sql.run("SET DateStyle = 'SQL, DMY'");
  sql.run("SET TimeZone = 'Asia/Kolkata'");
  sql.run("SELECT csrq.make_event_partitions(5)");
  sql.run("SET DateStyle = 'ISO'");
  sql.run("SET TimeZone = 'UTC'");
  CHECK(sql.value(
            "SELECT count(*) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
            "WHERE i.inhparent = 'csrq.event'::regclass AND pg_get_expr(c.relpartbound, c.oid) <> 'DEFAULT' "
            "AND pg_get_expr(c.relpartbound, c.oid) NOT LIKE 'FOR VALUES FROM (''20__-__-01 00:00:00+00'') "
            "TO (''20__-__-01 00:00:00+00'')'") == "0");
}

TEST_CASE("where letters are sorted and folded in another language, rows are issued") {
  const std::string url =
      database_made("ENCODING 'UTF8' LOCALE_PROVIDER icu ICU_LOCALE 'tr-TR' LOCALE 'C.UTF-8'");
  {
    store::Database database({.url = url});
    store::migrate(database, {});
  }
  check_works(url, url, url);
}

TEST_CASE("where all tables are published, every row can be changed and deleted") {
  Store store;
  store.sql.run("CREATE PUBLICATION everything FOR ALL TABLES");
  CHECK(store.sql.value("SELECT string_agg(c.relname, ' ') FROM pg_catalog.pg_class c "
                        "WHERE c.relnamespace = 'csrq'::regnamespace AND c.relkind IN ('r', 'p') "
                        "AND NOT EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid "
                        "AND CASE c.relreplident WHEN 'd' THEN i.indisprimary ELSE i.indisreplident END)") ==
        "");
  store.submit();
  const auto id = store.issue_next("01");
  store.sql.run("UPDATE csrq.request SET names = '{a.example,b.example}' WHERE id = " +
                std::to_string(store::number(id)));
  store.sql.run("UPDATE csrq.request SET names = '{b.example}' WHERE id = " +
                std::to_string(store::number(id)));
  CHECK(store.count("request_name") == "1");
  CHECK_NOTHROW(store.sql.run("SELECT csrq.prune('1 day')"));
  CHECK_NOTHROW(store.sql.run("DELETE FROM csrq.request"));
}

TEST_CASE("a login that has no connection left waits for one, and says so when none comes") {
  const TestDatabase test;
  Sql sql(test.url());
  const std::string url = test.url_as("lonely");
  sql.run("GRANT csrq_worker TO lonely");
  sql.run("ALTER ROLE lonely CONNECTION LIMIT 1");
  auto only = std::make_unique<Sql>(url);
  const std::string sentence = why_not(url);
  CHECK_MESSAGE(sentence.find("it has no connection free: raise max_connections") != std::string::npos,
                sentence);
  std::thread leaves([&] {
    std::this_thread::sleep_for(100ms);
    only.reset();
  });
  CHECK_NOTHROW(store::Database({.url = url}));
  leaves.join();
}
