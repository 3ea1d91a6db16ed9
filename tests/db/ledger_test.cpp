#include <doctest/doctest.h>

#include <future>

#include "db/store_fixture.hpp"

using namespace csrq;
using namespace csrq::test;

namespace {

store::AuthorizationRecord pending_authorization(const std::string& order_url) {
  return {.url = order_url + "/authorization",
          .identifier = "a.example",
          .wildcard = false,
          .status = AuthorizationStatus::pending,
          .expires = now() + std::chrono::hours(24),
          .challenge = store::ChallengeRecord{.type = "http-01",
                                              .url = order_url + "/challenge",
                                              .token = "token_1",
                                              .status = ChallengeStatus::pending,
                                              .key_authorization = "token_1.thumbprint",
                                              .error = {}}};
}

}  // namespace

TEST_CASE("the intent of an order is written before it has a URL, and the same order is resumed afterwards") {
  Store store;
  const auto id = store.submit();
  const auto fence = store.claim_one().fence;
  const auto account = store::find_or_create_account(store.database, some_owner(), some_key('a')).id;
  const auto intent = store::open_order(store.database, fence, account, {"a.example", "*.b\"\\.example"}, {});
  REQUIRE(intent.order);
  CHECK(intent.order->url.empty());
  CHECK(store.request(id, "array_to_string(names, ' ')") == "a.example *.b\"\\.example");
  REQUIRE(store::record_order(store.database, fence,
                              Store::order_record(intent.order->id, "https://ca.example/o/1")));
  const auto resumed = store::open_order(store.database, fence, account, {"a.example"}, {});
  REQUIRE(resumed.order);
  CHECK(resumed.order->id == intent.order->id);
  CHECK(resumed.order->url == "https://ca.example/o/1");
  CHECK(store.count("acme_authorization") == "1");
}

TEST_CASE("the names of a former attempt come with the next claim") {
  Store store;
  store.submit();
  const auto claim = store.claim_one();
  store.ready_order(claim.fence, {"a.example", "b.example"});
  REQUIRE(store::put_off(store.database, claim.fence, std::chrono::seconds(0), nullptr));
  CHECK(store.claim_one().names == std::vector<std::string>{"a.example", "b.example"});
}

TEST_CASE("an order that the CA hands out to a second request stays with the first") {
  Store store;
  store.submit();
  store.submit();
  const auto claims = store::claim(store.database, store.worker, 2, lease);
  const auto account = store::find_or_create_account(store.database, some_owner(), some_key('a')).id;
  const auto first =
      store::open_order(store.database, claims[0].fence, account, {"a.example"}, {}).order.value();
  const auto second =
      store::open_order(store.database, claims[1].fence, account, {"a.example"}, {}).order.value();
  const std::string url = "https://ca.example/o/1";
  CHECK(store::record_order(store.database, claims[0].fence, Store::order_record(first.id, url)));
  CHECK(store::record_order(store.database, claims[0].fence, Store::order_record(first.id, url)));
  CHECK_FALSE(store::record_order(store.database, claims[1].fence, Store::order_record(second.id, url)));
  CHECK(store::open_order(store.database, claims[1].fence, account, {"a.example"}, {}).order.value().id !=
        second.id);
}

namespace {

/// Two rows for the same names: the first has an order, the second was handed the same one.
struct OneOrderForTwo : Store {
  OneOrderForTwo() {
    for (int i = 0; i < 2; ++i) submit();
    claims = store::claim(database, worker, 2, lease);
    order = ready_order(claims[0].fence);
    REQUIRE_FALSE(hand_out_again(claims[1].fence));
  }

  bool hand_out_again(const store::Fence& fence, OrderStatus status = OrderStatus::ready) {
    const auto account = store::find_or_create_account(database, some_owner(), some_key('a')).id;
    const auto opened = store::open_order(database, fence, account, {"a.example"}, {}).order.value();
    store::OrderRecord record = Store::order_record(opened.id, url());
    record.status = status;
    return store::record_order(database, fence, record);
  }

  std::string url() const { return "https://ca.example/order/" + std::to_string(store::number(order)); }

  store::WaitForOther second_waits() {
    return store::wait_for_order(
        database, claims[1].fence, url(),
        {.failure_class = FailureClass::limited, .code = "order_taken", .detail = "taken"});
  }

  std::string second_is_due() { return job(claims[1].fence.request, "status = 'ready' AND run_at <= now()"); }

  std::vector<store::Claim> claims{};
  store::OrderId order{};
};

}  // namespace

TEST_CASE("a row that waits for another one's order goes on as soon as that is closed, however it ends") {
  OneOrderForTwo rows;
  REQUIRE(rows.second_waits() == store::WaitForOther::waits);
  CHECK(rows.second_is_due() == "f");
  const store::Fence& first = rows.claims[0].fence;
  SUBCASE("issued") {
    CHECK(store::complete(rows.database, first, Store::issued(rows.order, "01")));
  }
  SUBCASE("dead") {
    store::close_order(rows.database, first, rows.order, OrderStatus::invalid,
                       some_failure(FailureClass::validation));
  }
  SUBCASE("cancelled") {
    store::cancel(rows.database, first.request);
    CHECK(store::drop_cancelled(rows.database, first));
  }
  CHECK(rows.second_is_due() == "t");
}

TEST_CASE("a row that was handed an order which is closed by now does not wait for it") {
  OneOrderForTwo rows;
  REQUIRE(store::complete(rows.database, rows.claims[0].fence, Store::issued(rows.order, "01")));
  CHECK(rows.second_waits() == store::WaitForOther::over);
  CHECK(rows.job(rows.claims[1].fence.request, "status") == "leased");
}

TEST_CASE("an order that was finalized for another row's key is not taken, though it is closed") {
  OneOrderForTwo rows;
  store::begin_finalize(rows.database, rows.claims[0].fence, rows.order);
  REQUIRE(store::complete(rows.database, rows.claims[0].fence, Store::issued(rows.order, "01")));
  CHECK_FALSE(rows.hand_out_again(rows.claims[1].fence, OrderStatus::valid));
}

TEST_CASE("an order whose finalize was refused serves the next row for the same names") {
  OneOrderForTwo rows;
  const store::Fence& first = rows.claims[0].fence;
  store::begin_finalize(rows.database, first, rows.order);
  REQUIRE(store::record_failure(rows.database, first, some_failure(FailureClass::permanent), schedule));
  CHECK(rows.hand_out_again(rows.claims[1].fence));
}

TEST_CASE("what an order costs is given back if the CA hands out another row's order instead") {
  OneOrderForTwo rows;
  CHECK(rows.sql.value("SELECT error ->> 'code' FROM csrq.acme_order WHERE status = 'lost'") ==
        "order_taken");
}

TEST_CASE("an app that has cancelled a row, but not committed, locks no row that waits for its order") {
  OneOrderForTwo rows;
  REQUIRE(rows.second_waits() == store::WaitForOther::waits);
  REQUIRE(store::put_off(rows.database, rows.claims[0].fence, std::chrono::seconds(0), nullptr));
  pqxx::connection app(rows.test.url());
  pqxx::work open(app);
  open.exec("SELECT csrq.cancel(" + std::to_string(store::number(rows.claims[0].fence.request)) + ")");
  CHECK(rows.sql.value("SELECT count(*) FROM (SELECT FROM csrq.job WHERE request_id = " +
                       std::to_string(store::number(rows.claims[1].fence.request)) +
                       " FOR UPDATE SKIP LOCKED) free") == "1");
}

TEST_CASE("an authorization of another account is no part of an order, whatever the CA says") {
  Store store;
  store.submit();
  const auto claim = store.claim_one();
  store.ready_order(claim.fence);
  store.submit();
  const auto other = store.claim_one();
  const auto account = store::find_or_create_account(store.database, some_owner("other"), some_key('b')).id;
  const auto opened =
      store::open_order(store.database, other.fence, account, {"b.example"}, {}).order.value();
  store::OrderRecord record = Store::order_record(opened.id, "https://ca.example/order/other");
  record.authorizations = {store.sql.value("SELECT url FROM csrq.acme_authorization")};
  REQUIRE(store::record_order(store.database, other.fence, record));
  CHECK(store.sql.value("SELECT count(*) FROM csrq.acme_order_authorization WHERE order_id = " +
                        std::to_string(store::number(opened.id))) == "0");
}

TEST_CASE(
    "an open order tells since when its CA is at work on it, and whether somebody wants that asked again") {
  Store store;
  store.submit();
  const auto claim = store.claim_one();
  const store::OrderId order = store.ready_order(claim.fence);
  const auto account = store::find_or_create_account(store.database, some_owner(), some_key('a')).id;
  const auto reopened = [&] {
    return store::open_order(store.database, claim.fence, account, {"a.example"}, {}).order.value();
  };
  store.sql.run("UPDATE csrq.acme_order SET created_at = now() - interval '3 hours'");
  CHECK(reopened().asked_ago.value() > std::chrono::minutes(179));
  store::begin_finalize(store.database, claim.fence, order);
  CHECK(reopened().asked_ago.value() < std::chrono::minutes(1));
  CHECK_FALSE(reopened().asks_anew);
  CHECK(store::retry(store.database, {.id = claim.fence.request}) == 1);
  CHECK(reopened().asks_anew);
  store::begin_finalize(store.database, claim.fence, order);
  CHECK_FALSE(reopened().asks_anew);
}

TEST_CASE("responses are served while they are in place, and gone once the order is closed") {
  Store store;
  store.submit();
  const auto fence = store.claim_one().fence;
  const auto order = store.ready_order(fence);
  const std::string url = store.sql.value("SELECT url FROM csrq.acme_order");
  store::record_authorizations(store.database, fence, {pending_authorization(url)});
  CHECK(store::key_authorization(store.database, "token_1") == "token_1.thumbprint");
  CHECK_FALSE(store::key_authorization(store.database, "token_2"));
  CHECK_FALSE(store::key_authorization(store.database, "%\xff' OR true"));
  CHECK(
      store.sql.value(
          "SELECT identifier || ' ' || status || ' ' || (expires_at > now()) FROM csrq.acme_authorization") ==
      "a.example pending true");

  SUBCASE("because the order died") {
    store::close_order(store.database, fence, order, OrderStatus::invalid,
                       some_failure(FailureClass::validation));
    CHECK(store.sql.value("SELECT status || ' ' || (error ->> 'code') FROM csrq.acme_order") ==
          "invalid dns");
  }
  SUBCASE("because it is done") {
    REQUIRE(store::complete(store.database, fence, Store::issued(order, "01")));
  }
  SUBCASE("because the challenge failed") {
    auto failed = pending_authorization(url);
    failed.status = AuthorizationStatus::invalid;
    failed.challenge->status = ChallengeStatus::invalid;
    failed.challenge->key_authorization.clear();
    failed.challenge->error = R"({"detail": "404"})";
    store::record_authorizations(store.database, fence, {failed});
    CHECK(store.sql.value("SELECT status || ' ' || (error ->> 'detail') FROM csrq.acme_challenge") ==
          "invalid 404");
    CHECK(store.sql.value("SELECT status FROM csrq.acme_authorization") == "invalid");
  }
  CHECK_FALSE(store::key_authorization(store.database, "token_1"));
}

TEST_CASE("an authorization without a challenge of ours, and without an end, is written down as well") {
  Store store;
  store.submit();
  const auto fence = store.claim_one().fence;
  store.ready_order(fence);
  const std::string url = store.sql.value("SELECT url FROM csrq.acme_authorization");
  store::record_authorizations(store.database, fence,
                               {{.url = url,
                                 .identifier = "a.example",
                                 .wildcard = true,
                                 .status = AuthorizationStatus::valid,
                                 .expires = std::nullopt,
                                 .challenge = std::nullopt}});
  CHECK(store.sql.value("SELECT status || ' ' || wildcard FROM csrq.acme_authorization") == "valid true");
  CHECK(store.count("acme_challenge") == "0");
}

TEST_CASE("a challenge without a token is written down, and nobody can ask for its response") {
  Store store;
  store.submit();
  const auto fence = store.claim_one().fence;
  store.ready_order(fence);
  auto tokenless = pending_authorization("");
  tokenless.url = store.sql.value("SELECT url FROM csrq.acme_authorization");
  tokenless.challenge->token.clear();
  tokenless.challenge->key_authorization.clear();
  store::record_authorizations(store.database, fence, {tokenless});
  CHECK(store.count("acme_challenge WHERE token IS NULL AND presented_at IS NULL") == "1");
  CHECK_FALSE(store::key_authorization(store.database, ""));
}

TEST_CASE("where the CA asked to wait, no new order is opened") {
  Store store;
  store.submit();
  const auto fence = store.claim_one().fence;
  const auto account = store::find_or_create_account(store.database, some_owner(), some_key('a')).id;
  const Failure limited = some_failure(FailureClass::limited);
  const auto open = [&] { return store::open_order(store.database, fence, account, {"a.example"}, {}); };

  SUBCASE("of the whole CA") {
    store::write_hold(
        store.database,
        {.directory = some_owner().directory, .account = account, .limit = {.scope = LimitScope::ca}},
        std::chrono::hours(1), limited);
    REQUIRE(open().not_yet);
    CHECK(open().not_yet->detail.find("the CA has asked to wait") == 0);
    CHECK(open().not_yet->wait > std::chrono::minutes(59));
    CHECK(open().not_yet->wait <= std::chrono::hours(1));
    CHECK_FALSE(open().order);
  }
  SUBCASE("of the account") {
    store::write_hold(
        store.database,
        {.directory = some_owner().directory, .account = account, .limit = {.scope = LimitScope::account}},
        std::chrono::hours(1), limited);
    CHECK(open().not_yet);
  }
  SUBCASE("but another account or CA is not held up") {
    store::write_hold(store.database,
                      {.directory = some_owner().directory,
                       .account = store::AccountId{999},
                       .limit = {.scope = LimitScope::account}},
                      std::chrono::hours(1), limited);
    store::write_hold(
        store.database,
        {.directory = "https://other.example/dir", .account = account, .limit = {.scope = LimitScope::ca}},
        std::chrono::hours(1), limited);
    CHECK(open().order);
  }
  SUBCASE("and an order that the CA has accepted goes on") {
    store.ready_order(fence);
    store::write_hold(
        store.database,
        {.directory = some_owner().directory, .account = account, .limit = {.scope = LimitScope::ca}},
        std::chrono::hours(1), limited);
    CHECK(open().order);
  }
}

TEST_CASE("an account is made once, with one key, though two workers come at once") {
  Store store;
  store::Database other({.url = store.test.url()});
  CHECK_FALSE(store::find_account(store.database, some_owner()));
  for (int round = 0; round < 10; ++round) {
    CAPTURE(round);
    const auto owner = some_owner("customer " + std::to_string(round));
    auto theirs = std::async(std::launch::async, [&] {
      return store::find_or_create_account(other, owner, some_key(static_cast<char>('A' + round)));
    });
    const auto mine =
        store::find_or_create_account(store.database, owner, some_key(static_cast<char>('a' + round)));
    CHECK(mine.key.thumbprint == theirs.get().key.thumbprint);
    CHECK(store::find_account(store.database, owner)->id == mine.id);
  }
  CHECK(store.count("acme_account_key") == "10");
}

TEST_CASE("a sealed key comes back octet by octet") {
  Store store;
  const auto key = some_key('a');
  const auto made = store::find_or_create_account(store.database, some_owner(), key);
  CHECK(made.status == AccountStatus::creating);
  CHECK(made.key.sealed == key.sealed);
  CHECK(made.key.sealing_key_id == "k1");
  CHECK(store::is_account_key(store.database, key.spki_sha256));
  CHECK_FALSE(store::is_account_key(store.database, some_key('b').spki_sha256));
}

TEST_CASE("a registered account has its URL and status from the CA") {
  Store store;
  const auto id = store::find_or_create_account(store.database, some_owner(), some_key('a')).id;
  store::account_registered(store.database, id,
                            {.status = AccountStatus::valid,
                             .url = "https://ca.example/acct/1",
                             .orders_url = "https://ca.example/acct/1/orders",
                             .contact = {"mailto:a@example.org"}});
  const auto found = store::find_account(store.database, some_owner());
  REQUIRE(found);
  CHECK(found->status == AccountStatus::valid);
  CHECK(found->url == "https://ca.example/acct/1");
  CHECK(found->orders_url == "https://ca.example/acct/1/orders");
  CHECK(store.sql.value("SELECT contact[1] FROM csrq.acme_account") == "mailto:a@example.org");
}
