#include <doctest/doctest.h>

#include "db/store_fixture.hpp"

using namespace csrq;
using namespace csrq::test;

namespace {

constexpr int key_compromise = 1;
constexpr int affiliation_changed = 3;
constexpr int superseded = 4;

/// An issued certificate whose revocation has been asked for.
struct Revoked : Store {
  explicit Revoked(int reason = affiliation_changed) {
    issue_next("0abc");
    renew_at = request(id, "renew_at");
    REQUIRE(store::revoke(database, id, reason));
  }

  void refuse() {
    REQUIRE(
        store::record_failure(database, claim_one().fence, some_failure(FailureClass::permanent), schedule));
  }

  store::RequestId id{submit()};
  std::string renew_at{};
};

}  // namespace

TEST_CASE("no renewal is queued while a revocation is open") {
  Revoked store;
  CHECK(store.count("renewal") == "0");
  CHECK(store.job(store.id, "kind") == "revoke");
}

TEST_CASE("a certificate that the CA does not revoke is renewed as before") {
  Revoked store;
  store.refuse();
  CHECK(store.request(store.id, "status || ' ' || auto_renew") == "issued true");
  CHECK(store.sql.value("SELECT renew_at FROM csrq.renewal") == store.renew_at);
}

TEST_CASE("a due renewal takes the place of a revocation that the CA has refused") {
  Revoked store;
  store.refuse();
  store.sql.run("UPDATE csrq.renewal SET renew_at = now()");
  CHECK(store::renew_due(store.database, 10) == 1);
  const store::Claim claim = store.claim_one();
  CHECK(claim.kind == store::JobKind::renew);
  CHECK(claim.failures == 0);
  CHECK(store.job(store.id, "revoke_reason IS NULL") == "t");
}

TEST_CASE("a due renewal leaves alone a revocation that waits for its next attempt") {
  Revoked store;
  REQUIRE(store::record_failure(store.database, store.claim_one().fence,
                                some_failure(FailureClass::transient), schedule));
  store.sql.run("INSERT INTO csrq.renewal (request_id, renew_at) SELECT id, now() FROM csrq.request");
  CHECK(store::renew_due(store.database, 10) == 0);
  CHECK(store.job(store.id, "kind") == "revoke");
}

TEST_CASE(
    "a certificate whose key is reported as compromised is not renewed even if the CA does not revoke it") {
  Revoked store(key_compromise);
  store.refuse();
  CHECK(store.request(store.id, "status || ' ' || auto_renew") == "issued false");
  CHECK(store.count("renewal") == "0");
  CHECK(store.request(store.id, "error ->> 'detail'") ==
        "no such name; the certificate is not renewed any more, since its key was reported as compromised");
}

TEST_CASE("a refused revocation may be asked for again, with the same reason or another") {
  for (const int reason : {affiliation_changed, superseded}) {
    CAPTURE(reason);
    Revoked store;
    store.refuse();
    CHECK(store::revoke(store.database, store.id, reason));
    CHECK(store.claim_one().revoke_reason == reason);
    CHECK(store.count("renewal") == "0");
  }
}

TEST_CASE("a revocation that waits gets another reason, and none twice") {
  Revoked store;
  CHECK_FALSE(store::revoke(store.database, store.id, affiliation_changed));
  CHECK(store::revoke(store.database, store.id, superseded));
  CHECK(store.claim_one().revoke_reason == superseded);
}

TEST_CASE("a revoked certificate is renewed no more") {
  Revoked store;
  REQUIRE(store::complete_revocation(store.database, store.claim_one().fence));
  CHECK(store.request(store.id, "status || ' ' || auto_renew") == "cancelled false");
  CHECK(store.count("renewal") == "0");
}

TEST_CASE("csrq.failures counts refused revocations among what needs a person") {
  Revoked store;
  store.refuse();
  CHECK(store.sql.value("SELECT need_a_person FROM csrq.failures WHERE code = 'dns'") == "1");
}
