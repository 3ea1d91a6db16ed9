#include <doctest/doctest.h>

#include "db/store_fixture.hpp"
#include "store/incidents.hpp"
#include "store/janitor.hpp"
#include "store/renewal_info.hpp"

using namespace std::chrono_literals;
using namespace csrq;
using namespace csrq::test;

namespace {

struct Portfolio : Store {
  store::RequestId issued(const std::string& customer = "acme") {
    const auto id = submit({.customer = customer});
    issue_next(std::to_string(++issued_));
    sql.run("UPDATE csrq.issuer_chain SET issuer = 'R11'");
    return id;
  }
  std::vector<store::RequestId> issued(int count) {
    std::vector<store::RequestId> ids;
    ids.reserve(static_cast<std::size_t>(count));
    for (int i = 0; i < count; ++i) ids.push_back(issued());
    return ids;
  }
  /// As `csrq renew --issuer` does it.
  store::IncidentRow open(const store::IncidentScope& scope, int batch = 2) {
    const auto id = store::open_incident(database, scope, now() + 5 * 24h);
    while (store::fill_incident(database, id, batch) > 0) {
    }
    return store::incidents(database, id).at(0);
  }

 private:
  int issued_{};
};

}  // namespace

TEST_CASE("an incident makes all renewals of an issuing CA due, with the revocation as their deadline") {
  Portfolio store;
  store.issued(5);
  CHECK(store::incident_size(store.database, {.issuer = "R11"}) == 5);
  CHECK(store.count("renewal WHERE renew_at <= now()") == "0");
  const auto line = store.open({.issuer = "R11"});
  CHECK(line.renewals == 5);
  CHECK(line.left == 5);
  CHECK(line.is_complete);
  CHECK(store.count("renewal WHERE renew_at <= now() AND deadline = (SELECT deadline FROM csrq.incident)") ==
        "5");
  CHECK(store.count("renewal n JOIN csrq.request r ON r.id = n.request_id WHERE n.renew_at <> r.renew_at") ==
        "0");
  CHECK(store::renew_due(store.database, 3, 4) == 3);
  CHECK(store::renew_due(store.database, 3, 4) == 1);
}

TEST_CASE("an incident is about certificates of one issuing CA, issued before a time, of one customer") {
  Portfolio store;
  store.issued(2);
  store.issued("else");
  CHECK(store::incident_size(store.database, {.issuer = "R11", .customer = "else"}) == 1);
  CHECK(store::incident_size(store.database, {.issued_before = now() - 1h}) == 0);
  CHECK(store::incident_size(store.database, {.issued_before = now() + 1h}) == 3);
  store.sql.run("UPDATE csrq.request SET auto_renew = false WHERE customer = 'else'");
  CHECK(store.open({.issuer = "R11"}).renewals == 2);
  CHECK(refusal_of([&] { store.open({}); }).find("say which certificates") != std::string::npos);
  CHECK(refusal_of([&] { store.open({.issuer = "R33"}); }).find("There are certificates from: R11") !=
        std::string::npos);
  CHECK(refusal_of([&] { store.open({.issuer = "R11", .customer = "nobody"}); }).find("no customer") !=
        std::string::npos);
}

TEST_CASE("how far an incident is: done, failing, cancelled, left") {
  Portfolio store;
  const auto ids = store.issued(4);
  store.open({.issuer = "R11"});
  CHECK(store::renew_due(store.database, 3) == 3);
  store.issue_next("a1");
  const auto failing = store.claim_one();
  REQUIRE(
      store::record_failure(store.database, failing.fence, some_failure(FailureClass::validation), schedule));
  store::cancel(store.database, store.claim_one().fence.request);
  const auto line = store::incidents(store.database).at(0);
  CHECK(line.renewals == 4);
  CHECK(line.done == 1);
  CHECK(line.failing == 1);
  CHECK(line.dropped == 1);
  CHECK(line.left == 2);
  CHECK(!line.estimated_end.empty());
}

TEST_CASE("an incident that was left half filled is filled by any worker") {
  Portfolio store;
  store.issued(5);
  const auto id = store::open_incident(store.database, {.issuer = "R11"}, std::nullopt);
  CHECK(store::fill_incident(store.database, id, 2) > 0);
  CHECK(!store::incidents(store.database).at(0).is_complete);
  while (store::fill_incidents(store.database, 2) > 0) {
  }
  CHECK(store::incidents(store.database).at(0).is_complete);
  CHECK(store::incidents(store.database).at(0).renewals == 5);
  CHECK(store.count("renewal WHERE renew_at <= now() AND deadline IS NULL") == "5");
}

TEST_CASE("rows that somebody else has are planned when he has let them go; nobody is waited for") {
  Portfolio store;
  store.issued(3);
  const auto id = store::open_incident(store.database, {.issuer = "R11"}, std::nullopt);
  {
    pqxx::connection other(store.test.url());
    pqxx::work holder(other);
    holder.exec("SELECT FROM csrq.request WHERE id = 1 FOR NO KEY UPDATE");
    while (store::fill_incident(store.database, id, 10) > 0) {
    }
    CHECK(store.count("renewal WHERE renew_at <= now()") == "2");
    CHECK(!store::incidents(store.database).at(0).is_complete);
  }
  while (store::fill_incident(store.database, id, 10) > 0) {
  }
  CHECK(store.count("renewal WHERE renew_at <= now()") == "3");
  CHECK(store::incidents(store.database).at(0).is_complete);
}

TEST_CASE("what the CA's window says does not put off an incident") {
  Portfolio store;
  store.issued(1);
  store.open({.issuer = "R11"});
  store.sql.run("UPDATE csrq.renewal_info SET check_at = now() - interval '1 minute'");
  const auto due = store::claim_renewal_info(store.database, 10);
  CHECK(store::record_renewal_info(store.database, {{.request = due.at(0).request,
                                                     .certificate = due.at(0).certificate,
                                                     .window = store::RenewalWindow{.start = now() + 24h,
                                                                                    .end = now() + 48h,
                                                                                    .instant = now() + 30h,
                                                                                    .explanation_url = {}},
                                                     .failure = std::nullopt,
                                                     .again = 6h}}) == 0);
  CHECK(store.count("renewal WHERE renew_at <= now()") == "1");
}

TEST_CASE("renew_all does it in one statement, for csrq_admin only") {
  Portfolio store;
  store.issued(3);
  CHECK(store.sql.value("SELECT csrq.renew_all(issuer => 'R11', deadline => now() + interval '1 day')") ==
        "3");
  for (const std::string role : {"csrq_worker", "csrq_app", "csrq_dba"}) {
    CAPTURE(role);
    store.sql.run("SET ROLE " + role);
    CHECK(store.sql.refusal("SELECT csrq.renew_all(issuer => 'R11')").find("permission denied") !=
          std::string::npos);
    store.sql.run("RESET ROLE");
  }
  store.sql.run("SET ROLE csrq_admin");
  CHECK(store.sql.value("SELECT csrq.renew_all(issued_before => now())") == "3");
  CHECK(store.sql.value("SELECT count(*) FROM csrq.incidents") == "2");
}

TEST_CASE(
    "incidents are pruned when no certificate that they are about can be in use any more, a batch at a "
    "time") {
  Portfolio store;
  store.issued(3);
  store.open({.issuer = "R11"});
  const auto pruned = [&](int age_days) {
    store.sql.run("UPDATE csrq.incident SET opened_at = now() - interval '" + std::to_string(age_days) +
                  " days'");
    store::prune(store.database, 24h, 2);
    return store.count("incident") == "0" && store.count("incident_request") == "0";
  };
  CHECK_FALSE(pruned(399));
  CHECK(store.count("incident_request") == "3");
  CHECK(pruned(401));
}
