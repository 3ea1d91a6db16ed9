#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <sstream>

#include "base/error.hpp"
#include "db/store_fixture.hpp"
#include "store/diagnosis.hpp"
#include "store/migrations.hpp"
#include "store/rate_limits.hpp"
#include "support/folders.hpp"

using namespace csrq;
using namespace csrq::test;
using namespace std::chrono_literals;

namespace {

bool denied(const std::string& refusal) {
  return refusal.find("permission denied") != std::string::npos ||
         refusal.find("row-level security") != std::string::npos;
}

/// A login with one group role.
struct Login {
  Login(Store& store, const std::string& name, const std::string& role)
      : url(store.test.url_as(name)), sql(url) {
    store.sql.run("GRANT " + role + " TO " + name);
  }
  std::string url;
  Sql sql;
};

std::string without(const std::set<std::string>& names, const std::set<std::string>& others) {
  std::string rest;
  for (const std::string& name : names)
    if (!others.contains(name)) rest += name + " ";
  return rest;
}

}  // namespace

TEST_CASE("an app inserts and reads the rows of its customers only") {
  Store store;
  store.submit({.customer = "other"});
  Login app(store, "csrq_test_app", "csrq_app");
  store.sql.run("INSERT INTO csrq.app_access VALUES ('csrq_test_app', 'acme')");
  CHECK(app.sql.refusal("INSERT INTO csrq.request (customer, csr) VALUES ('acme', 'x')").empty());
  CHECK(denied(app.sql.refusal("INSERT INTO csrq.request (customer, csr) VALUES ('other', 'x')")));
  for (const std::string table : {"request", "job", "status"}) {
    CAPTURE(table);
    CHECK(app.sql.value("SELECT string_agg(customer, ' ') FROM csrq." + table) == "acme");
  }
  CHECK(app.sql.value("SELECT csrq.retry(everything => true)") == "0");
  CHECK(app.sql.value("SELECT rows FROM csrq.retry_report(everything => true)") == "0");
  CHECK(app.sql.refusal("SELECT csrq.cancel(1)").find("there is no request 1 that login") !=
        std::string::npos);
  CHECK(app.sql.value("SELECT csrq.cancel(id) FROM csrq.request") == "cancelled");
}

TEST_CASE("an app does not learn whether there is a customer that it may not act for") {
  Store store;
  store.submit({.customer = "other"});
  Login app(store, "csrq_test_app", "csrq_app");
  store.sql.run("INSERT INTO csrq.app_access VALUES ('csrq_test_app', 'acme')");
  const auto refusal_of = [&](const std::string& customer) {
    return app.sql.refusal("INSERT INTO csrq.request (customer, csr) VALUES ('" + customer + "', 'x')");
  };
  for (const std::string registration : {"auto", "closed"}) {
    CAPTURE(registration);
    store.sql.run("UPDATE csrq.setting SET value = '" + registration + "' WHERE name = 'customers.register'");
    CHECK(denied(refusal_of("other")));
    CHECK(refusal_of("other") == refusal_of("unknown"));
  }
  CHECK(refusal_of("acme").find("is not registered") != std::string::npos);
  CHECK(store.sql.value("SELECT string_agg(name, ' ') FROM csrq.customer") == "other");
}

TEST_CASE("an admin switches renewals off and on again") {
  Store store;
  store.submit();
  store.issue_next("01");
  Login admin(store, "csrq_test_admin", "csrq_admin");
  CHECK(admin.sql.refusal("UPDATE csrq.request SET auto_renew = false") == "");
  CHECK(admin.sql.refusal("UPDATE csrq.request SET auto_renew = true") == "");
  CHECK(store.count("renewal") == "1");
}

TEST_CASE("an app does not learn which requests the customers of others have") {
  Store store;
  store.submit({.customer = "other"});
  Login app(store, "csrq_test_app", "csrq_app");
  store.sql.run("INSERT INTO csrq.app_access VALUES ('csrq_test_app', 'acme')");
  for (const std::string column : {"replaces_id", "split_of"}) {
    CAPTURE(column);
    const auto refusal_of = [&](const std::string& customer, const std::string& id) {
      return app.sql.refusal("INSERT INTO csrq.request (customer, csr, " + column + ") VALUES ('" + customer +
                             "', 'x', " + id + ")");
    };
    CHECK(refusal_of("other", "1") == refusal_of("other", "99"));
    CHECK(denied(refusal_of("other", "1")));
    const std::string hidden = refusal_of("acme", "1");
    CHECK(hidden.find("customer \"acme\" has no request 1") != std::string::npos);
  }
}

TEST_CASE("administrators and DBAs read every view") {
  Store store;
  store.submit();
  store::set_rate_limits(
      store.database, some_owner().directory,
      {{"new_accounts_per_address", {.burst = 1, .period = 1h, .renewals_exempt = false}}});
  std::istringstream views(
      store.sql.value("SELECT string_agg(viewname, ' ') FROM pg_views WHERE schemaname = 'csrq'"));
  Login admin(store, "csrq_test_admin", "csrq_admin");
  Login dba(store, "csrq_test_dba", "csrq_dba");
  for (std::string view; views >> view;) {
    CAPTURE(view);
    CHECK(admin.sql.refusal("SELECT * FROM csrq." + view) == "");
    CHECK(dba.sql.refusal("SELECT * FROM csrq." + view) == "");
  }
}

TEST_CASE("a customer's name has no character that could disguise it") {
  Store store;
  for (const std::string code : {"0007", "0085", "009b", "061c", "200f", "202e", "2069"}) {
    CAPTURE(code);
    CHECK(store.sql.refusal("INSERT INTO csrq.request (customer, csr) VALUES (U&'a\\" + code + "b', 'x')") !=
          "");
  }
  CHECK(store.sql.refusal(
            "INSERT INTO csrq.request (customer, csr) VALUES ('M\u00fcller \u65e5\u672c', 'x')") == "");
  CHECK(store.sql.value("SELECT count(*) FROM csrq.customer") == "1");
}

TEST_CASE("an app cannot write what is csrq's to write") {
  Store store;
  Login app(store, "csrq_test_app", "csrq_app");
  store.sql.run("INSERT INTO csrq.app_access VALUES ('csrq_test_app', '*')");
  store.submit();
  for (const std::string column :
       {"id", "status", "chain", "names", "serial", "error", "created_by", "renew_at"}) {
    CAPTURE(column);
    CHECK(denied(app.sql.refusal("INSERT INTO csrq.request (customer, csr, " + column +
                                 ") VALUES ('acme', 'x', NULL)")));
    CHECK(denied(app.sql.refusal("UPDATE csrq.request SET " + column + " = NULL")));
  }
  CHECK(denied(app.sql.refusal("DELETE FROM csrq.request")));
  CHECK(denied(app.sql.refusal("UPDATE csrq.job SET run_at = now()")));
  CHECK(denied(app.sql.refusal("SELECT csrq.claim(1, 1, '1 minute', 'shared', 1, 1, false)")));
  CHECK(denied(app.sql.refusal("SELECT FROM csrq.acme_account_key")));
  CHECK(denied(app.sql.refusal("SELECT csrq.close_orders(1)")));
  CHECK(
      app.sql.refusal("INSERT INTO csrq.request (customer, csr, split_of) VALUES ('acme', 'x', 1)").empty());
  CHECK(denied(app.sql.refusal("UPDATE csrq.request SET split_of = NULL")));
  CHECK(denied(app.sql.refusal("SELECT FROM csrq.name_set_failure")));
}

TEST_CASE("a worker's login does all that a worker does, sealed keys included") {
  Store owner;
  owner.submit();
  Login login(owner, "csrq_test_worker", "csrq_worker");
  store::Database database({.url = login.url});
  CHECK(store::missing_privileges(database).empty());
  CHECK_NOTHROW(store::require_schema(database));

  const auto worker = store::worker_start(database, "host", 1, "test");
  const auto fence = store::claim(database, worker, 1, lease).at(0).fence;
  const auto account = store::find_or_create_account(database, some_owner(), some_key('a'));
  CHECK(account.key.sealed == some_key('a').sealed);
  const auto order = store::open_order(database, fence, account.id, {"a.example"}, {}).order.value();
  REQUIRE(store::record_order(database, fence, Store::order_record(order.id, "https://ca.example/o/1")));
  CHECK(store::heartbeat(database, worker, {fence}, lease).empty());
  CHECK(store::complete(database, fence, Store::issued(order.id, "01")));
  CHECK(store::rescue(database) == 0);
  CHECK(store::renew_due(database, 10) == 0);
  CHECK(store::queue_depth(database).due == 0);
  CHECK(store::status(database, {.domain = "example"}).size() == 1);
}

TEST_CASE("a worker's login alone has no certificate issued, revoked or forgotten, and writes no table") {
  Store owner;
  owner.submit();
  Login login(owner, "csrq_test_worker", "csrq_worker");
  for (const char* statement :
       {"INSERT INTO csrq.request (customer, csr) VALUES ('acme', 'x')", "SELECT csrq.cancel(1)",
        "SELECT csrq.revoke(1, 0)", "SELECT csrq.retry(1)", "SELECT csrq.renew(1)",
        "SELECT csrq.prune('1 year', 1)", "SELECT csrq.suspend('acme')", "SELECT csrq.history(1)",
        "SELECT sealed FROM csrq.acme_account_key", "SELECT FROM csrq.app_access"}) {
    CAPTURE(statement);
    CHECK(denied(login.sql.refusal(statement)));
  }
  CHECK(login.sql.value("SELECT count(*) FROM pg_class c WHERE c.relnamespace = 'csrq'::regnamespace AND "
                        "c.relkind IN ('r', 'p', 'v') AND "
                        "has_any_column_privilege(c.oid, 'INSERT, UPDATE, REFERENCES')") == "0");
}

TEST_CASE("a worker may call what the program's statements call, but for what only people ask for") {
  // Their commands want a login in csrq_app or csrq_admin.
  const std::set<std::string> of_people{"cancel",  "check_incident", "fill_incident", "forget_limits",
                                        "history", "in_incident",    "open_incident", "prune",
                                        "renew",   "renewal_plan",   "retry",         "retry_report",
                                        "revoke"};
  std::set<std::string> called;
  for (const auto& file : std::filesystem::directory_iterator(source_folder() / "lib" / "store")) {
    if (file.path().extension() != ".cpp") continue;
    std::ifstream in(file.path());
    const std::string source{std::istreambuf_iterator<char>(in), {}};
    const std::regex call("csrq\\.([a-z_]+)\\(");
    for (std::sregex_iterator found(source.begin(), source.end(), call), end; found != end; ++found)
      if (!of_people.contains((*found)[1])) called.insert((*found)[1]);
  }
  Store store;
  std::set<std::string> allowed;
  std::istringstream names(store.sql.value(
      "SELECT string_agg(p.proname, ' ') FROM pg_proc p WHERE p.pronamespace = 'csrq'::regnamespace "
      "AND has_function_privilege('csrq_worker', p.oid, 'EXECUTE')"));
  for (std::string name; names >> name;) allowed.insert(name);
  CHECK(without(called, allowed) == "");
  CHECK(without(allowed, called) == "");
}

TEST_CASE("nobody may call a function or read a table because everybody may") {
  Store store;
  CHECK(store.sql.value("SELECT string_agg(p.oid::regprocedure::text, ', ') FROM pg_proc p "
                        "CROSS JOIN aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a "
                        "WHERE p.pronamespace = 'csrq'::regnamespace AND a.grantee = 0") == "");
  CHECK(store.sql.value("SELECT string_agg(c.oid::regclass::text, ', ') FROM pg_class c "
                        "CROSS JOIN aclexplode(c.relacl) a "
                        "WHERE c.relnamespace = 'csrq'::regnamespace AND a.grantee = 0") == "");
}

TEST_CASE("a DBA reads all tables and views, calls what reads, and writes nothing") {
  Store store;
  CHECK(store.sql.value("SELECT string_agg(c.relname, ' ') FROM pg_class c "
                        "WHERE c.relnamespace = 'csrq'::regnamespace AND c.relkind IN ('r', 'p', 'v') "
                        "AND NOT c.relispartition "
                        "AND NOT has_table_privilege('csrq_dba', c.oid, 'SELECT')") == "acme_account_key");
  CHECK(store.sql.value(
            "SELECT string_agg(p.proname, ' ' ORDER BY p.proname) FROM pg_proc p "
            "WHERE p.pronamespace = 'csrq'::regnamespace AND has_function_privilege('csrq_dba', p.oid, "
            "'EXECUTE')") ==
        "abandoned_authorizations check_incident current_cursor earliest_renewal_day events_since "
        "grants_report "
        "history in_incident is_needed lane_names limit_for may_ask_for_anything my_customers "
        "name_set_key "
        "next_token_at renewal_plan requests_of spread_plan token_due tokens tokens_left ungranted_names "
        "waiting_accounts why_not_granted worker_silence");
  CHECK(store.sql.value("SELECT count(*) FROM pg_class c WHERE c.relnamespace = 'csrq'::regnamespace AND "
                        "c.relkind IN ('r', 'p', 'v') AND "
                        "has_any_column_privilege('csrq_dba', c.oid, 'INSERT, UPDATE, REFERENCES')") == "0");
}

TEST_CASE("a DBA reads everything but sealed keys") {
  Store store;
  store::find_or_create_account(store.database, some_owner(), some_key('a'));
  Login dba(store, "csrq_test_dba", "csrq_dba");
  CHECK(dba.sql.value("SELECT thumbprint FROM csrq.acme_account_key") == "thumbprint-a");
  CHECK(dba.sql.value("SELECT thumbprint FROM csrq.accounts") == "thumbprint-a");
  CHECK(dba.sql.refusal("SELECT FROM csrq.request, csrq.job, csrq.event, csrq.certificate, csrq.status")
            .empty());
  CHECK(denied(dba.sql.refusal("SELECT sealed FROM csrq.acme_account_key")));
  CHECK(denied(dba.sql.refusal(
      "SELECT * FROM csrq.account_for('ca', 'https://ca.example/dir', 'per_customer', 'acme', "
      "NULL, NULL, NULL, NULL)")));
  CHECK(denied(dba.sql.refusal("UPDATE csrq.request SET priority = 'urgent'")));
}

TEST_CASE("a responder looks up tokens and can do nothing else") {
  Store owner;
  Login login(owner, "csrq_test_responder", "csrq_responder");
  store::Database database({.url = login.url});
  CHECK_FALSE(store::key_authorization(database, "token"));
  CHECK_NOTHROW(store::require_schema(database));
  CHECK(login.sql.value("SELECT string_agg(p.proname, ' ') FROM pg_proc p WHERE p.pronamespace = "
                        "(SELECT oid FROM pg_namespace WHERE nspname = 'csrq') AND "
                        "has_function_privilege(p.oid, 'EXECUTE')") == "key_authorization");
  CHECK(login.sql.value(
            "SELECT string_agg(c.relname, ' ' ORDER BY c.relname) FROM pg_class c WHERE c.relnamespace = "
            "(SELECT oid FROM pg_namespace WHERE nspname = 'csrq') AND c.relkind IN ('r', 'p', 'v') "
            "AND has_any_column_privilege(c.oid, 'SELECT, INSERT, UPDATE')") ==
        "error_code legal_move schema_version");
}

TEST_CASE("a login without a role is told what a worker's would need") {
  Store owner;
  {
    store::Database database({.url = owner.test.url_as("csrq_test_nobody")});
    const auto sentences = store::missing_privileges(database);
    REQUIRE(sentences.size() == 1);
    CHECK(sentences[0].find("GRANT csrq_worker") != std::string::npos);
    CHECK_THROWS_AS(store::queue_depth(database), UsageError);
  }
  Login app(owner, "csrq_test_app", "csrq_app");
  store::Database database({.url = app.url});
  const auto sentences = store::missing_privileges(database);
  REQUIRE_FALSE(sentences.empty());
  CHECK(sentences[0].find("csrq.account_for") != std::string::npos);
}

TEST_CASE("an app that submits for somebody else's customer is refused") {
  Store owner;
  Login app(owner, "csrq_test_app", "csrq_app");
  owner.sql.run("INSERT INTO csrq.app_access VALUES ('csrq_test_app', 'acme')");
  store::Database database({.url = app.url});
  CHECK(store::submit(database, {{.customer = "acme", .csr = some_csr, .reference = "r"}}).at(0).created);
  CHECK_FALSE(
      store::submit(database, {{.customer = "acme", .csr = some_csr, .reference = "r"}}).at(0).created);
  CHECK_THROWS_AS(store::submit(database, {{.customer = "other", .csr = some_csr}}), UsageError);
}
