#include <doctest/doctest.h>

#include <set>

#include "base/status.hpp"
#include "db/store_fixture.hpp"

using namespace csrq;
using namespace csrq::test;

namespace {

std::set<std::string> states_in_database(Sql& sql, const std::string& subject) {
  std::set<std::string> states;
  const std::string joined = sql.value(
      "SELECT string_agg(DISTINCT state, ',') FROM (SELECT from_state AS state FROM csrq.legal_move WHERE "
      "subject = '" +
      subject + "' UNION ALL SELECT to_state FROM csrq.legal_move WHERE subject = '" + subject +
      "') all_of_them");
  for (std::size_t start = 0; start < joined.size();) {
    const std::size_t end = std::min(joined.find(',', start), joined.size());
    states.insert(joined.substr(start, end - start));
    start = end + 1;
  }
  return states;
}

}  // namespace

TEST_CASE("csrq.legal_move knows exactly the states of the program") {
  Store store;
  CHECK(store.sql.value("SELECT count(DISTINCT subject) FROM csrq.legal_move") == "6");
  for (const std::string subject :
       {"request", "job", "acme_account", "acme_order", "acme_authorization", "acme_challenge"}) {
    CAPTURE(subject);
    const auto known = all_statuses(subject);
    CHECK(states_in_database(store.sql, subject) == std::set<std::string>(known.begin(), known.end()));
  }
}

TEST_CASE("a move that csrq.legal_move does not list is refused, whoever tries it") {
  Store store;
  const auto id = store.submit();
  store::cancel(store.database, id);
  CHECK(store.sql.refusal("UPDATE csrq.request SET status = 'pending'")
            .find("no move from cancelled to pending") != std::string::npos);
  CHECK(store.request(id, "status") == "cancelled");
}

TEST_CASE("what was asked for cannot be changed afterwards") {
  Store store;
  store.submit();
  CHECK(store.sql.refusal("UPDATE csrq.request SET csr = 'another'").find("cannot be changed") !=
        std::string::npos);
}

TEST_CASE("the body of every function can be read, whether a test calls it or not") {
  Store store;
  // What CREATE FUNCTION does, unless check_function_bodies is off, as csrq migrate has it.
  CHECK(store.sql.refusal(
            "SELECT plpgsql_validator(p.oid) FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang "
            "WHERE p.pronamespace = 'csrq'::regnamespace AND l.lanname = 'plpgsql'") == "");
  CHECK(store.sql.refusal(
            "SELECT fmgr_sql_validator(p.oid) FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang "
            "WHERE p.pronamespace = 'csrq'::regnamespace AND l.lanname = 'sql'") == "");
}

TEST_CASE("every table, column, view and function has a comment") {
  Store store;
  CHECK(store.sql.value(R"(SELECT string_agg(c.oid::regclass::text, ', ') FROM pg_class c
      WHERE c.relnamespace = 'csrq'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'S')
        AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'i' AND c.relkind = 'S')
        AND obj_description(c.oid, 'pg_class') IS NULL)") == "");
  CHECK(store.sql.value(R"(SELECT string_agg(c.oid::regclass || '.' || a.attname, ', ') FROM pg_class c
      JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
      WHERE c.relnamespace = 'csrq'::regnamespace AND c.relkind IN ('r', 'p', 'v')
        AND col_description(c.oid, a.attnum) IS NULL)") == "");
  CHECK(store.sql.value(R"(SELECT string_agg(p.oid::regprocedure::text, ', ') FROM pg_proc p
      WHERE p.pronamespace = 'csrq'::regnamespace AND obj_description(p.oid, 'pg_proc') IS NULL)") == "");
}
