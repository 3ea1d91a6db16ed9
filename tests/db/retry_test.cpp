#include <doctest/doctest.h>

#include <functional>

#include "base/error.hpp"
#include "db/store_fixture.hpp"
#include "store/janitor.hpp"
#include "store/rate_limits.hpp"

using namespace csrq;
using namespace csrq::test;

namespace {

struct Retries : Store {
  /// A row that has failed so.
  store::RequestId failed(FailureClass failure_class, const std::string& code,
                          const std::string& customer = "acme") {
    const auto id = submit({.customer = customer});
    const auto claim = claim_one();
    Failure failure = some_failure(failure_class);
    failure.code = code;
    REQUIRE(store::record_failure(database, claim.fence, failure, schedule));
    return id;
  }

  /// Rows that wait until tomorrow.
  void waiting(int rows) {
    sql.run("INSERT INTO csrq.request (customer, csr) SELECT 'acme', 'x' FROM generate_series(1, " +
            std::to_string(rows) + ")");
    sql.run("UPDATE csrq.job SET run_at = now() + interval '1 day'");
  }

  std::string seconds(const std::string& what) {
    return sql.value("SELECT round(extract(epoch FROM " + what + ")) FROM csrq.job");
  }
};

/// A query for an instant as the store gives it: RFC 3339, with the fraction that the database has.
std::string in_zulu_time(const std::string& instant, const std::string& table) {
  return "SELECT replace(replace(" + instant + "::text, ' ', 'T'), '+00', 'Z') FROM " + table;
}

}  // namespace

TEST_CASE("retry by the class or code of the error") {
  Retries store;
  const auto dns = store.failed(FailureClass::validation, "dns");
  const auto caa = store.failed(FailureClass::validation, "caa", "other");
  const auto bad = store.failed(FailureClass::permanent, "badCSR");
  CHECK(store::retry(store.database, {.failure_class = "transient"}) == 0);
  CHECK(store::retry(store.database, {.code = "caa"}) == 1);
  CHECK(store.job(caa, "failures") == "0");
  CHECK(store::retry(store.database, {.customer = "other", .failure_class = "permanent"}) == 0);
  CHECK(store::retry(store.database, {.customer = "acme", .failure_class = "permanent"}) == 1);
  CHECK(store.request(bad, "status") == "pending");
  CHECK(store::retry(store.database, {.failure_class = "validation"}) == 1);
  CHECK(store.job(dns, "failures") == "0");
  CHECK(refusal_of([&] {
          store::retry(store.database, {.failure_class = "dns"});
        }).find("there is no failure class \"dns\"") != std::string::npos);
}

TEST_CASE("retry has the names that apps use") {
  Retries store;
  const auto id = std::to_string(store::number(store.failed(FailureClass::validation, "dns")));
  CHECK(store.sql.value("SELECT csrq.retry(" + id + ")") == "1");
  for (const std::string arguments :
       {"customer => 'x'", "everything => true", "everything => true, spread => interval '1 hour'",
        "class => 'validation'", "code => 'dns'", "domain => 'a.example'"}) {
    CAPTURE(arguments);
    CHECK(store.sql.value("SELECT csrq.retry(" + arguments + ")") == "0");
  }
  CHECK(store.sql.refusal("SELECT csrq.retry()").find("say what to retry") != std::string::npos);
  CHECK(store.sql.refusal("SELECT csrq.retry(everything => NULL)").find("say what to retry") !=
        std::string::npos);
}

TEST_CASE("a retry of up to a hundred rows starts them at once") {
  Retries store;
  store.waiting(100);
  CHECK(store::retry(store.database, {.everything = true}) == 100);
  CHECK(store.seconds("max(run_at) - min(run_at)") == "0");
}

TEST_CASE("a large retry is spread by itself, 600 rows a minute, the urgent ones first") {
  Retries store;
  const auto urgent = store.submit({.priority = "urgent"});
  store.waiting(1199);
  const store::RetryReport report = store::retry_report(store.database, {.everything = true});
  CHECK(report.rows == 1200);
  CHECK(report.first_is_due);
  CHECK(report.limited == 0);
  CHECK(store.seconds("max(run_at) - min(run_at)") == "120");
  CHECK(store.job(urgent, "run_at = (SELECT min(run_at) FROM csrq.job)") == "t");
  CHECK(report.last_at == store.sql.value(in_zulu_time("max(run_at)", "csrq.job")));
}

TEST_CASE("a retry is spread as told") {
  Retries store;
  store.waiting(200);
  SUBCASE("over two hours") {
    CHECK(store::retry(store.database, {.everything = true, .spread = std::chrono::hours(2)}) == 200);
    CHECK(store.seconds("max(run_at) - min(run_at)") == "7164");
  }
  SUBCASE("not at all") {
    CHECK(store::retry(store.database, {.everything = true, .spread = Duration{}}) == 200);
    CHECK(store.seconds("max(run_at) - min(run_at)") == "0");
  }
  SUBCASE("not over more than 30 days") {
    CHECK(refusal_of([&] {
            store::retry(store.database, {.everything = true, .spread = std::chrono::hours(24 * 31)});
          }).find("30 days") != std::string::npos);
  }
}

TEST_CASE("a row that the app wants later is not retried unless it is named") {
  Retries store;
  const auto id = store.submit();
  store.sql.run("UPDATE csrq.request SET run_after = now() + interval '1 day'");
  CHECK(store::retry(store.database, {.everything = true}) == 0);
  CHECK(store::retry(store.database, {.customer = "acme"}) == 0);
  CHECK(store::retry(store.database, {.id = id}) == 1);
}

TEST_CASE("a retry says which rows wait for a limit of the CA all the same, and until when") {
  Retries store;
  const auto id = store.submit();
  const auto claim = store.claim_one();
  store.ready_order(claim.fence);
  REQUIRE(
      store::record_failure(store.database, claim.fence, some_failure(FailureClass::validation), schedule));
  const auto fresh = store.submit();
  store.submit({.customer = "other"});
  store.sql.run("UPDATE csrq.job SET run_at = now() + interval '1 hour'");
  const auto account = store::find_or_create_account(store.database, some_owner(), some_key('a')).id;
  store::write_hold(
      store.database,
      {.directory = some_owner().directory, .account = account, .limit = {.scope = LimitScope::account}},
      std::chrono::hours(3), some_failure(FailureClass::limited));
  const store::RetryReport report = store::retry_report(store.database, {.everything = true});
  CHECK(report.rows == 3);
  CHECK(report.limited == 2);
  CHECK(report.limited_until == store.sql.value(in_zulu_time("until", "csrq.rate_hold")));
  CHECK(report.last_issue_at == report.limited_until);
  CHECK(store.job(id, "run_at <= now()") == "t");
  CHECK(store.job(fresh, "run_at <= now()") == "t");
  CHECK(store.count("rate_hold") == "1");
}

TEST_CASE("a retry says when the tokens of an account let the last row go") {
  Retries store;
  const auto account = store::find_or_create_account(store.database, some_owner(), some_key('a')).id;
  const std::string key = std::to_string(store::number(account));
  store::set_rate_limits(store.database, some_owner().directory,
                         {{"new_orders_per_account", {.burst = 2, .period = std::chrono::hours(2)}}});
  store.sql.run("SELECT csrq.spend('" + some_owner().directory +
                "', ARRAY['new_orders_per_account'], ARRAY['" + key + "']) FROM generate_series(1, 2)");
  for (int row = 0; row < 3; ++row) store.submit();
  store.submit({.customer = "other"});
  store.sql.run("UPDATE csrq.job SET run_at = now() + interval '5 hours'");
  const store::RetryReport report = store::retry_report(store.database, {.everything = true});
  CHECK(report.rows == 4);
  CHECK(report.limited == 3);
  CHECK(store.sql.value("SELECT round(extract(epoch FROM '" + report.last_issue_at +
                        "' - now()) / 360) / 10") == "3.0000000000000000");
}

TEST_CASE("a retry says when the tokens of a registered domain, or of a set of names, let the last row go") {
  Retries store;
  const std::string directory = some_owner().directory;
  static_cast<void>(store::find_or_create_account(store.database, some_owner(), some_key('a')));
  store::set_rate_limits(
      store.database, directory,
      {{"certificates_per_registered_domain", {.burst = 2, .period = std::chrono::hours(2)}},
       {"certificates_per_name_set", {.burst = 1, .period = std::chrono::hours(9)}}});
  const auto spent = [&](const std::string& name, const std::string& key) {
    store.sql.run("SELECT csrq.spend('" + directory + "', ARRAY['" + name + "'], ARRAY['" + key + "'])");
  };
  spent("certificates_per_registered_domain", "example.co.uk");
  // Full again, and not forgotten.
  store.sql.run("UPDATE csrq.rate_bucket SET full_at = now() - interval '29 days'");
  static_cast<void>(store::tidy(store.database));
  for (int row = 0; row < 4; ++row) store.submit();
  store.sql.run(
      "UPDATE csrq.request SET names = ARRAY['n' || id || '.example.co.uk', 'www.n' || id || "
      "'.example.co.uk']");
  store.sql.run("UPDATE csrq.job SET run_at = now() + interval '5 hours'");
  const auto last_in_hours = [&] {
    const store::RetryReport report = store::retry_report(store.database, {.everything = true});
    store.sql.run("UPDATE csrq.job SET run_at = now() + interval '5 hours'");
    return store.sql.value("SELECT round(extract(epoch FROM '" + report.last_issue_at +
                           "' - now()) / 3600)::int");
  };
  CHECK(last_in_hours() == "2");
  spent("certificates_per_name_set", "n1.example.co.uk,www.n1.example.co.uk");
  CHECK(last_in_hours() == "9");
}

TEST_CASE("rows whose CSR nobody could read draw on no set of names") {
  Retries store;
  static_cast<void>(store::find_or_create_account(store.database, some_owner(), some_key('a')));
  store::set_rate_limits(store.database, some_owner().directory,
                         {{"certificates_per_name_set", {.burst = 1, .period = std::chrono::hours(9)}}});
  for (int row = 0; row < 4; ++row) store.submit();
  store.sql.run("UPDATE csrq.job SET run_at = now() + interval '5 hours'");
  CHECK(store::retry_report(store.database, {.everything = true}).limited == 0);
}

TEST_CASE("a retry says until when the CA holds back a registered domain, a set of names or a name") {
  Retries store;
  const auto account = store::find_or_create_account(store.database, some_owner(), some_key('a')).id;
  store.submit();
  store.sql.run("UPDATE csrq.request SET names = ARRAY['a.example.org', 'b.example.org']");
  const auto held_until = [&](const std::string& scope, const std::string& key, const std::string& hours) {
    store.sql.run("DELETE FROM csrq.rate_hold");
    store.sql.run("INSERT INTO csrq.rate_hold (directory, scope, key, until, error) VALUES ('" +
                  some_owner().directory + "', '" + scope + "', '" + key + "', now() + interval '" + hours +
                  " hours', '{}')");
    store.sql.run("UPDATE csrq.job SET run_at = now() + interval '1 minute'");
    const store::RetryReport report = store::retry_report(store.database, {.everything = true});
    return report.limited == 1 &&
           report.limited_until == store.sql.value(in_zulu_time("until", "csrq.rate_hold"));
  };
  CHECK(held_until("registered_domain", "example.org", "2"));
  CHECK(held_until("name_set", "a.example.org,b.example.org", "3"));
  CHECK(held_until("identifier", std::to_string(store::number(account)) + " b.example.org", "4"));
  CHECK_FALSE(held_until("registered_domain", "ample.org", "5"));
}

TEST_CASE("a retry of nothing reports nothing") {
  Retries store;
  const store::RetryReport report = store::retry_report(store.database, {.everything = true});
  CHECK(report.rows == 0);
  CHECK(report.first_at.empty());
  CHECK(report.limited == 0);
}

TEST_CASE("a row that a worker has is retried, too: the worker hears of it once, and its wait ends") {
  Retries store;
  const auto id = store.submit();
  const auto claim = store.claim_one();
  CHECK(store::take_retries(store.database, store.worker, {claim.fence}).empty());
  const store::RetryReport report = store::retry_report(store.database, {.id = id});
  CHECK(report.rows == 1);
  CHECK(report.first_is_due);
  CHECK(store::take_retries(store.database, store.worker, {}).empty());  // it is in a step
  const auto wishes = store::take_retries(store.database, store.worker, {claim.fence});
  REQUIRE(wishes.size() == 1);
  CHECK(wishes[0].fence == claim.fence);
  CHECK(wishes[0].asks_anew);
  CHECK(store::take_retries(store.database, store.worker, {claim.fence}).empty());
}

TEST_CASE("a retry that came while a worker was about to give the row back ends that wait") {
  for (const bool fails : {false, true}) {
    Retries store;
    const auto id = store.submit();
    const auto claim = store.claim_one();
    REQUIRE(store::retry(store.database, {.id = id}) == 1);
    const Failure why = some_failure(FailureClass::transient);
    REQUIRE((fails ? store::record_failure(store.database, claim.fence, why, schedule)
                   : store::put_off(store.database, claim.fence, std::chrono::hours(1), &why)));
    CHECK(store.job(id, "run_at <= now()") == "t");
    const auto again = store.claim_one();
    CHECK(again.fence.request == id);
    CHECK(store::take_retries(store.database, store.worker, {again.fence}).empty());
  }
}

TEST_CASE("of the rows that workers have, a retry of many takes only those that wait for something") {
  Retries store;
  const auto id = store.submit();
  const auto claim = store.claim_one();
  CHECK(store::retry(store.database, {.everything = true}) == 0);
  CHECK(store::explain_wait(store.database, claim.fence, some_failure(FailureClass::validation)));
  CHECK(store.request(id, "error ->> 'code'") == "dns");
  CHECK(store::retry(store.database, {.everything = true}) == 1);
  store.sql.run("UPDATE csrq.job SET lease_number = lease_number + 1");
  CHECK_FALSE(store::explain_wait(store.database, claim.fence, some_failure(FailureClass::transient)));
  CHECK(store.request(id, "error ->> 'code'") == "dns");
}
