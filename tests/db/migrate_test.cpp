#include <doctest/doctest.h>

#include <algorithm>
#include <future>

#include "base/error.hpp"
#include "db/store_fixture.hpp"
#include "store/migrations.hpp"
#include "store/schema_objects.hpp"

using namespace csrq;
using namespace csrq::test;
using namespace std::chrono_literals;

namespace {

/// As if this binary had that one statement of db/functions, the first that begins so, otherwise than the
/// last.
void change_statement(Sql& sql, const std::string& start) {
  const auto statements = store::schema_statements();
  const auto found = std::ranges::find_if(
      statements, [&](const store::Statement& one) { return one.text.starts_with(start); });
  REQUIRE(found != statements.end());
  sql.run("DELETE FROM csrq.schema_statement WHERE sha256 = sha256(convert_to($literal$" + found->text +
          "$literal$, 'UTF8'))");
  sql.run("UPDATE csrq.setting SET value = 'others' WHERE name = 'functions_sha256'");
}

/// As a csrq left it whose function of that name was declared otherwise.
void older_function(Store& store, const std::string& name, const std::string& declaration) {
  const std::string ours = " FROM pg_proc p WHERE 'csrq.' || p.proname = '" + name + "'";
  const std::string there =
      store.sql.value("SELECT p.oid::regprocedure" + ours +
                      " AND 'function ' || p.oid::regprocedure IN (SELECT o.name FROM csrq.schema_object o)");
  if (!there.empty()) store.sql.run("DROP FUNCTION " + there + " CASCADE");
  store.sql.run("DELETE FROM csrq.schema_object WHERE name = 'function " + there + "'");
  store.sql.run("SET ROLE csrq_owner");
  store.sql.run("CREATE FUNCTION " + name + declaration + " LANGUAGE plpgsql AS 'BEGIN END'");
  store.sql.run("RESET ROLE");
  store.sql.run("INSERT INTO csrq.schema_object SELECT 'function ' || p.oid::regprocedure, ''" + ours +
                " ORDER BY p.oid DESC LIMIT 1");
  store.sql.run("UPDATE csrq.setting SET value = 'others' WHERE name = 'functions_sha256'");
}

constexpr const char* a_function = "CREATE OR REPLACE FUNCTION csrq.live_workers(";
constexpr const char* a_policy = "CREATE POLICY app ON csrq.request ";
constexpr const char* a_trigger = "CREATE OR REPLACE TRIGGER request_named ";

bool has(const std::vector<std::string>& sentences, const std::string& sentence) {
  return std::ranges::find(sentences, sentence) != sentences.end();
}

std::vector<std::string> defects_of(Store& store) {
  std::vector<std::string> sentences;
  for (const store::SchemaDefect& defect : store::schema_defects(store.database))
    sentences.push_back(defect.sentence);
  return sentences;
}

/// A login that has read a table in a transaction and does nothing since.
struct IdleReader {
  IdleReader(Store& store, const std::string& table) : sql(store.test.url_as("csrq_test_idler")) {
    store.sql.run("GRANT csrq_dba TO csrq_test_idler");
    sql.run("SET application_name = 'a report'");
    sql.run("BEGIN");
    sql.run("SELECT count(*) FROM " + table + " WHERE 'secret' <> ''");
  }
  void end() { sql.run("COMMIT"); }
  Sql sql;
};

std::string locks_of(const store::SchemaStatus& status) {
  std::string text;
  for (const store::TableLock& lock : status.locks)
    text += (lock.locks_out == store::LocksOut::readers ? "readers of " : "writers of ") + lock.table + "\n";
  return text;
}

}  // namespace

TEST_CASE("a migrate that changes one function waits for nobody who reads or writes") {
  Store store;
  store.submit();
  change_statement(store.sql, a_function);
  const store::SchemaStatus status = store::schema_status(store.database);
  CHECK(status.changed == std::vector<std::string>{"FUNCTION csrq.live_workers"});
  CHECK(locks_of(status) == "");

  const IdleReader reader(store, "csrq.status");
  Sql writer(store.test.url());
  writer.run("BEGIN");
  writer.run("UPDATE csrq.request SET priority = 'bulk'");
  CHECK_FALSE(store::migrate(store.database, {}, {.patience = 0s}).empty());
  CHECK(store::schema_status(store.database).is_current());
}

TEST_CASE("a changed policy needs its table for a moment, and readers never queue behind migrate for long") {
  Store store;
  store.submit();
  change_statement(store.sql, a_policy);
  IdleReader idle(store, "csrq.request");
  store::Database migrating({.url = store.test.url()});
  store::Database lookout({.url = store.test.url()});
  auto migrated = std::async(std::launch::async, [&] {
    return store::migrate(migrating, {}, {.patience = 1500ms, .repair = false, .lookout = &lookout});
  });
  Sql reader(store.test.url());
  reader.run("SET statement_timeout = '1s'");
  std::string refusals;
  int reads = 0;
  for (; migrated.wait_for(0s) == std::future_status::timeout; ++reads)
    refusals += reader.refusal("SELECT count(*) FROM csrq.request");
  CHECK(reads > 1);
  CHECK(refusals == "");
  std::string reason;
  try {
    migrated.get();
  } catch (const TryAgain& error) {
    reason = error.what();
  }
  CAPTURE(reason);
  CHECK(reason.find("process " + idle.sql.value("SELECT pg_backend_pid()")) != std::string::npos);
  for (const char* part : {"login \"csrq_test_idler\"", "application \"a report\"", "since 20"})
    CHECK(reason.find(part) != std::string::npos);
  CHECK(reason.find("secret") == std::string::npos);

  idle.end();
  CHECK_FALSE(store::migrate(store.database, {}, {.patience = 0s}).empty());
}

TEST_CASE("what keeps migrate waiting is told with the first words of its query, without its values") {
  Store store;
  change_statement(store.sql, a_policy);
  const IdleReader idle(store, "csrq.request");
  store::Database lookout({.url = store.test.url()});
  try {
    store::migrate(store.database, {}, {.patience = 0s, .repair = false, .lookout = &lookout});
    FAIL("it migrated");
  } catch (const TryAgain& error) {
    const std::string reason = error.what();
    CAPTURE(reason);
    CHECK(reason.find("SELECT count(*) FROM csrq.request WHERE '…' <> '…'") != std::string::npos);
  }
}

TEST_CASE("a changed trigger needs its table without writers, beside any number of readers") {
  Store store;
  store.submit();
  change_statement(store.sql, a_trigger);
  CHECK(locks_of(store::schema_status(store.database)) == "writers of csrq.request\n");
  const IdleReader reader(store, "csrq.request");
  CHECK_FALSE(store::migrate(store.database, {}, {.patience = 0s}).empty());
}

TEST_CASE("migrate --status waits for nothing") {
  Store store;
  change_statement(store.sql, a_policy);
  Sql holder(store.test.url());
  holder.run("BEGIN");
  holder.run("LOCK TABLE csrq.request, csrq.job, csrq.event IN ACCESS EXCLUSIVE MODE");
  const store::SchemaStatus status = store::schema_status(store.database);
  CHECK(locks_of(status) == "readers of csrq.request\n");
  CHECK(status.changed == std::vector<std::string>{"policy app on csrq.request"});
  CHECK_FALSE(status.is_current());
}

TEST_CASE("migrate puts back what somebody has dropped, and nothing else") {
  Store store;
  store.sql.run("DROP VIEW csrq.incidents");
  store.sql.run("DROP FUNCTION csrq.live_workers(interval)");
  store.sql.run("DROP TRIGGER frozen ON csrq.request");
  store.sql.run("DROP POLICY staff ON csrq.job");
  store.sql.run("REVOKE SELECT ON csrq.status FROM csrq_app");
  store.sql.run("ALTER TABLE csrq.renewal DISABLE ROW LEVEL SECURITY");
  const std::vector<std::string> defects = defects_of(store);
  CHECK(defects.size() == 6);
  for (const char* name : {"view csrq.incidents", "function csrq.live_workers(interval)",
                           "trigger frozen on csrq.request", "policy staff on csrq.job",
                           "privilege SELECT of csrq_app on csrq.status", "row security on csrq.renewal"}) {
    CAPTURE(name);
    CHECK(has(defects, std::string(name) + " is missing"));
  }
  CHECK(has(store::schema_status(store.database).missing, "view csrq.incidents"));
  CHECK(locks_of(store::schema_status(store.database)) ==
        "readers of csrq.job\nreaders of csrq.renewal\nwriters of csrq.request\n");
  CHECK_FALSE(store::migrate(store.database, {}).empty());
  CHECK(defects_of(store).empty());
  CHECK(store.sql.refusal("SELECT FROM csrq.incidents") == "");
}

TEST_CASE("what somebody has changed is found, and only migrate --repair makes it again") {
  Store store;
  CHECK(defects_of(store).empty());
  store.sql.run("CREATE OR REPLACE FUNCTION csrq.clock() RETURNS timestamptz LANGUAGE sql AS 'SELECT now()'");
  store.sql.run("ALTER TABLE csrq.request DISABLE TRIGGER frozen");
  store.sql.run("GRANT SELECT ON csrq.acme_account_key TO csrq_app");
  const std::vector<std::string> defects = defects_of(store);
  CHECK(has(defects, "function csrq.clock() is not as csrq migrate made it"));
  CHECK(has(defects, "trigger frozen on csrq.request is not as csrq migrate made it"));
  CHECK(has(defects,
            "privilege SELECT of csrq_app on csrq.acme_account_key was granted by somebody else than "
            "csrq migrate"));
  CHECK_FALSE(
      store::migrate(store.database, {}, {.patience = 0s, .repair = true, .lookout = nullptr}).empty());
  CHECK(defects_of(store).empty());
  CHECK(store.sql.value("SELECT csrq.clock() <> now()") == "t");
}

TEST_CASE("what only a migration makes stays missing, whatever migrate does") {
  Store store;
  store.sql.run("DROP INDEX csrq.acme_account_key_in_use");
  store::migrate(store.database, {}, {.patience = 0s, .repair = true, .lookout = nullptr});
  CHECK(defects_of(store) == std::vector<std::string>{"index csrq.acme_account_key_in_use is missing"});
}

TEST_CASE("a process that goes on for long hears of a changed schema") {
  Store store;
  CHECK_NOTHROW(store::require_same_schema(store.database));
  SUBCASE("a newer one") {
    store.sql.run("INSERT INTO csrq.schema_version (version, name) VALUES (999, 'from the future')");
  }
  SUBCASE("one from before 0.1.0") {
    store.sql.run("UPDATE csrq.schema_version SET name = '0001_roles_and_customers' WHERE version = 1");
  }
  SUBCASE("other functions") {
    store.sql.run("UPDATE csrq.setting SET value = 'others' WHERE name = 'functions_sha256'");
  }
  CHECK_THROWS_AS(store::require_same_schema(store.database), store::SchemaChanged);
}

TEST_CASE("a file of SQL is split where its statements end, and nowhere else") {
  const auto statements = store::split_statements(
      "-- first; not the end\nSELECT 'a;b''c;';\n\nCREATE FUNCTION f() AS $$ one; two; $$;\n"
      "SELECT \"x;y\", $tag$ $$; $tag$, a$b; -- the last\n");
  REQUIRE(statements.size() == 3);
  CHECK(statements[0].text == "SELECT 'a;b''c;'");
  CHECK(statements[1].text == "CREATE FUNCTION f() AS $$ one; two; $$");
  CHECK(statements[2].text == "SELECT \"x;y\", $tag$ $$; $tag$, a$b");
}

TEST_CASE("the comment of a statement is what stands right above it") {
  const auto statements = store::split_statements(
      "-- Of the file.\n\n-- Says what\n-- it does.\n--\n-- And why.\nCREATE FUNCTION f() AS $$ -- not "
      "this\n$$;  -- nor this\nSELECT 1;\n");
  REQUIRE(statements.size() == 2);
  CHECK(statements[0].comment == "Says what it does.\nAnd why.");
  CHECK(statements[0].text == "CREATE FUNCTION f() AS $$ -- not this\n$$");
  CHECK(statements[1].comment.empty());
}

TEST_CASE("a function whose result or arguments change is made anew, with what uses it and who may call it") {
  Store store;
  const auto objects = [&] {
    return store.sql.value(
        "SELECT string_agg(name || fingerprint, ' ' ORDER BY name) FROM csrq.schema_object");
  };
  const std::string before = objects();
  SUBCASE("other types of arguments") {
    older_function(store, "csrq.token_due", "(float8, float8, timestamptz) RETURNS int");
  }
  SUBCASE("fewer arguments") {
    older_function(store, "csrq.claim", "(text) RETURNS int");
  }
  SUBCASE("another result, and a view") {
    older_function(store, "csrq.worker_silence", "() RETURNS int");
    store.sql.run("CREATE VIEW csrq.workers AS SELECT csrq.worker_silence()");
  }
  SUBCASE("another name of an argument, and a policy") {
    older_function(store, "csrq.may_read", "(other text) RETURNS boolean");
    store.sql.run("ALTER POLICY app ON csrq.request USING (csrq.may_read(customer))");
  }
  SUBCASE("one OUT column less") {
    older_function(store, "csrq.prune_workers", "(p_keep interval, p_limit int, OUT what text)");
  }
  SUBCASE("a default that is taken away") {
    older_function(store, "csrq.may_read", "(p_customer text DEFAULT 'a') RETURNS boolean");
  }
  store::migrate(store.database, {});
  CHECK(objects() == before);
  CHECK(defects_of(store).empty());
}

TEST_CASE("a function that goes may have been used by what stays, as it was before") {
  Store store;
  older_function(store, "csrq.of_an_older_csrq", "() RETURNS interval");
  store.sql.run("DROP VIEW csrq.workers");
  store.sql.run("CREATE VIEW csrq.workers AS SELECT csrq.of_an_older_csrq()");
  change_statement(store.sql, "CREATE VIEW csrq.workers");
  store::migrate(store.database, {});
  CHECK(store.sql.value("SELECT count(*) FROM pg_proc WHERE proname = 'of_an_older_csrq'") == "0");
  CHECK(defects_of(store).empty());
}

TEST_CASE("what others made of csrq's functions is never dropped: it is in the way, and named") {
  Store store;
  older_function(store, "csrq.may_read", "(other text) RETURNS boolean");
  std::string what;
  SUBCASE("a policy") {
    what = "policy of_a_dba on table csrq.request";
    store.sql.run("CREATE POLICY of_a_dba ON csrq.request AS RESTRICTIVE USING (csrq.may_read(customer))");
  }
  SUBCASE("a view in the schema csrq") {
    what = "view csrq.of_a_dba";
    store.sql.run("CREATE VIEW csrq.of_a_dba AS SELECT csrq.may_read('a')");
  }
  SUBCASE("a view on a view of csrq's") {
    what = "view csrq.of_a_dba";
    store.sql.run("CREATE VIEW csrq.of_an_older_csrq AS SELECT csrq.may_read('a')");
    store.sql.run("INSERT INTO csrq.schema_object VALUES ('view csrq.of_an_older_csrq', '')");
    store.sql.run("CREATE VIEW csrq.of_a_dba AS SELECT * FROM csrq.of_an_older_csrq");
  }
  const std::string sentence = refusal_of([&] { store::migrate(store.database, {}); });
  CAPTURE(sentence);
  CHECK(sentence.find(what) != std::string::npos);
  CHECK(store.sql.value("SELECT (SELECT count(*) FROM pg_policy WHERE polname = 'of_a_dba')"
                        " + (SELECT count(*) FROM pg_class WHERE relname = 'of_a_dba')") == "1");
}

TEST_CASE("a DBA's function beside one of csrq's, of the same name, is in the way, and named") {
  Store store;
  store.sql.run("CREATE FUNCTION csrq.may_read(bigint) RETURNS int LANGUAGE sql AS 'SELECT 1'");
  SUBCASE("whatever else changes") {
    change_statement(store.sql, a_function);
  }
  SUBCASE("when csrq's own is made anew") {
    older_function(store, "csrq.may_read", "(other text) RETURNS boolean");
  }
  CHECK(refusal_of([&] { store::migrate(store.database, {}); }).find("function csrq.may_read(bigint)") !=
        std::string::npos);
  CHECK(store.sql.value("SELECT csrq.may_read(1::bigint)") == "1");
  store.sql.run("DROP FUNCTION csrq.may_read(bigint)");
  store::migrate(store.database, {});
  CHECK(defects_of(store).empty());
}

TEST_CASE("what an older csrq made and this one does not have goes; what others made stays") {
  Store store;
  store.sql.run("CREATE FUNCTION csrq.of_an_older_csrq(bigint) RETURNS int LANGUAGE sql AS 'SELECT 1'");
  store.sql.run("CREATE VIEW csrq.from_an_older_csrq AS SELECT csrq.of_an_older_csrq(1)");
  store.sql.run(
      "INSERT INTO csrq.schema_object VALUES ('function csrq.of_an_older_csrq(bigint)', ''), "
      "('view csrq.from_an_older_csrq', '')");
  store.sql.run("CREATE FUNCTION csrq.of_a_dba() RETURNS int LANGUAGE sql AS 'SELECT 1'");
  change_statement(store.sql, a_function);
  CHECK(has(store::schema_status(store.database).changed, "view csrq.from_an_older_csrq, which goes"));
  store::migrate(store.database, {});
  store::migrate(store.database, {}, {.patience = 0s, .repair = true, .lookout = nullptr});
  CHECK(store.sql.value("SELECT string_agg(proname, ' ') FROM pg_proc WHERE proname LIKE 'of\\_a%'") ==
        "of_a_dba");
  CHECK(store.sql.value("SELECT to_regclass('csrq.from_an_older_csrq')").empty());
  CHECK(defects_of(store).empty());
}

TEST_CASE("a view of somebody else is in the way of a function that is made anew, and named") {
  Store store;
  older_function(store, "csrq.token_due", "() RETURNS int");
  store.sql.run("CREATE VIEW public.report AS SELECT csrq.token_due()");
  const std::string sentence = refusal_of([&] { store::migrate(store.database, {}); });
  CAPTURE(sentence);
  CHECK(sentence.find("view public.report depends on function csrq.token_due()") != std::string::npos);
  store.sql.run("DROP VIEW public.report");
  CHECK_NOTHROW(store::migrate(store.database, {}));
}
