#include <doctest/doctest.h>

#include <functional>

#include "base/error.hpp"
#include "db/store_fixture.hpp"

using namespace csrq;
using namespace csrq::test;

TEST_CASE("a reference makes an insert idempotent within its customer") {
  Store store;
  const store::Submission submission{.customer = "acme", .csr = some_csr, .reference = "r1"};
  const auto first = store::submit(store.database, {submission}).at(0);
  const auto second = store::submit(store.database, {submission, submission});
  CHECK(first.created);
  CHECK_FALSE(second.at(0).created);
  CHECK(second.at(0).id == first.id);
  CHECK(second.at(1).id == first.id);
  CHECK(store.submit({.customer = "other", .reference = "r1"}) != first.id);
  CHECK(store.count("job") == "2");
}

TEST_CASE("without a reference each insert is a request of its own") {
  Store store;
  CHECK(store.submit() != store.submit());
}

TEST_CASE("a submission is all or nothing, and the refused one is named") {
  Store store;
  const store::Submission good{.customer = "acme", .csr = some_csr};
  store::Submission bad = good;
  bad.csr = "-----BEGIN PRIVATE KEY-----";
  CHECK(refusal_of([&] {
          store::submit(store.database, {good, bad, good});
        }).find("number 2 of 3") != std::string::npos);
  CHECK(store.count("request") == "0");
}

TEST_CASE("a CSR that cannot be one is refused in a sentence that says what to do") {
  Store store;
  CHECK(refusal_of([&] { store.submit({.csr = "-----BEGIN RSA PRIVATE KEY-----"}); }) ==
        "csr contains a private key. Insert the certificate signing request only, and regard this key as "
        "disclosed.");
  CHECK(refusal_of([&] { store.submit({.csr = "Keep the PRIVATE KEY to yourself."}); }).empty());
  CHECK(refusal_of([&] { store.submit({.csr = std::string(65537, 'x')}); }) ==
        "csr has 65537 octets, a certificate signing request at most 65536. Insert the PEM text of one CSR.");
  CHECK(refusal_of([&] { store.submit({.csr = std::string(65536, 'x')}); }).empty());
}

TEST_CASE("status shows where a request stands") {
  Store store;
  const auto line = [&](store::RequestId id) { return store::status(store.database, {.id = id}).at(0); };
  const auto id = store.submit();
  CHECK(line(id).state == "pending");
  CHECK_FALSE(line(id).next_attempt_at.empty());
  const auto claim = store.claim_one();
  CHECK(line(id).state == "issuing");
  CHECK(line(id).worker == "host:1");
  REQUIRE(
      store::record_failure(store.database, claim.fence, some_failure(FailureClass::validation), schedule));
  CHECK(line(id).state == "waiting");
  CHECK(line(id).failures == 1);
  CHECK(line(id).error.find("no such name") != std::string::npos);
  store::retry(store.database, {.id = id});
  store.issue_next("01");
  CHECK(line(id).state == "issued");
  CHECK(line(id).names == std::vector<std::string>{"a.example"});
  CHECK(line(id).days_left == 89);
  CHECK(line(id).error.empty());
  CHECK(store::status(store.database, {.id = store::RequestId{999}}).empty());
}

TEST_CASE("status is asked by customer or by a domain with all below it") {
  Store store;
  const auto issue = [&](const std::string& customer, const std::string& name, const std::string& serial) {
    const auto id = store.submit({.customer = customer});
    const auto claim = store.claim_one();
    REQUIRE(store::complete(store.database, claim.fence,
                            Store::issued(store.ready_order(claim.fence, {name}), serial)));
    return id;
  };
  const auto apex = issue("acme", "example.org", "01");
  const auto below = issue("acme", "a.b.example.org", "02");
  issue("other", "notexample.org", "03");
  const auto lines = store::status(store.database, {.domain = "Example.org"});
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].id == below);  // the newest first
  CHECK(lines[1].id == apex);
  CHECK(store::status(store.database, {.customer = "acme"}).size() == 2);
  CHECK(store::status(store.database, {.customer = "acme", .limit = 1}).size() == 1);
  CHECK(store::status(store.database, {}).size() == 3);
}

TEST_CASE("requests are counted by state and jobs by what may be done with them") {
  Store store;
  store.submit();
  store.submit();
  const auto leased = store.submit({.priority = "urgent"});
  store::cancel(store.database, store.submit());
  CHECK(store.claim_one().fence.request == leased);
  CHECK(store::count_by_state(store.database) ==
        std::map<std::string, std::int64_t>{{"pending", 2}, {"issuing", 1}, {"cancelled", 1}});
  CHECK(store::queue_depth(store.database).due == 2);
  CHECK(store::queue_depth(store.database).leased == 1);
  CHECK(store::queue_depth(store.database).waiting == 0);
}

TEST_CASE("there is no chain before it is issued, nor for an unknown request") {
  Store store;
  CHECK_FALSE(store::chain(store.database, store.submit()));
  CHECK_FALSE(store::chain(store.database, store::RequestId{999}));
}

TEST_CASE("retry ends waits by id, customer or all at once, and refuses to guess") {
  Store store;
  const auto one = store.submit();
  store.submit({.customer = "other"});
  store.sql.run("UPDATE csrq.job SET run_at = now() + interval '1 day'");
  CHECK(store::retry(store.database, {.customer = "nobody"}) == 0);
  CHECK(store::retry(store.database, {.id = one}) == 1);
  CHECK(store::retry(store.database, {.id = one}) == 0);
  CHECK(store::retry(store.database, {.everything = true, .spread = std::chrono::hours(1)}) == 1);
  CHECK(refusal_of([&] { store::retry(store.database, {}); }).find("say what to retry") != std::string::npos);
}

TEST_CASE("retry by domain takes all names below it") {
  Store store;
  const auto id = store.submit();
  const auto claim = store.claim_one();
  store.ready_order(claim.fence, {"www.example.org"});
  REQUIRE(
      store::record_failure(store.database, claim.fence, some_failure(FailureClass::validation), schedule));
  CHECK(store::retry(store.database, {.domain = "other.org"}) == 0);
  CHECK(store::retry(store.database, {.domain = "example.org"}) == 1);
  CHECK(store.job(id, "failures") == "0");
}

TEST_CASE("cancel ends a request and everything planned for it") {
  Store store;
  const auto id = store.submit();
  CHECK(store::cancel(store.database, id) == "cancelled");
  CHECK(store::cancel(store.database, id) == "was cancelled already");
  CHECK(store.count("job") == "0");
  CHECK(refusal_of([&] {
          store::cancel(store.database, store::RequestId{999});
        }).starts_with("there is no request 999"));

  const auto issued = store.submit();
  store.issue_next("01");
  store::cancel(store.database, issued);
  CHECK(store.count("renewal") == "0");
  CHECK(store::chain(store.database, issued));
}

TEST_CASE("only an issued certificate is renewed or revoked") {
  Store store;
  const auto id = store.submit();
  CHECK(refusal_of([&] { store::renew(store.database, id); }).find("is pending, only an issued one") !=
        std::string::npos);
  CHECK(refusal_of([&] { store::revoke(store.database, id, 0); }).find("has no certificate") !=
        std::string::npos);
  store.issue_next("01");
  CHECK(refusal_of([&] { store::revoke(store.database, id, 2); }).find("reason 2") != std::string::npos);
  CHECK(store::renew(store.database, id));
  CHECK_FALSE(store::renew(store.database, id));
}

TEST_CASE("a revocation that is asked for while a worker has the row is taken up after its step") {
  Store store;
  store.submit();
  const auto id = store.issue_next("01");
  REQUIRE(store::renew(store.database, id));
  const auto renewal = store.claim_one();
  CHECK(store::revoke(store.database, id, 1));
  CHECK(store.job(id, "kind") == "renew");
  CHECK(store::carry_out_wishes(store.database) == 0);
  REQUIRE(store::put_off(store.database, renewal.fence, std::chrono::hours(1), nullptr));
  CHECK(store::carry_out_wishes(store.database) == 1);
  CHECK(store.job(id, "kind") == "revoke");
  CHECK(store.job(id, "revoke_reason") == "1");
}

TEST_CASE("a suspended customer's rows wait, those given back and new ones too, until it is resumed") {
  Store store;
  store.submit();
  const auto in_work = store.claim_one();
  store.submit();
  CHECK(store.sql.value("SELECT csrq.suspend('acme')") == "1");
  store.submit();
  REQUIRE(store::put_off(store.database, in_work.fence, std::chrono::seconds(0), nullptr));
  CHECK(store::claim(store.database, store.worker, 10, lease).empty());
  CHECK(store::retry(store.database, {.everything = true}) == 0);
  CHECK(store.sql.value("SELECT csrq.resume('acme')") == "3");
  CHECK(store::claim(store.database, store.worker, 10, lease).size() == 3);
}
