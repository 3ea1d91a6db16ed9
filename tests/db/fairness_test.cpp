#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <thread>

#include "db/store_fixture.hpp"

using namespace csrq;
using namespace csrq::test;

namespace {

/// How many rows of each customer.
using Shares = std::map<std::string, int>;

struct Queue : Store {
  void submit_many(const std::string& customer, int rows, const std::string& priority = "normal") {
    sql.run("INSERT INTO csrq.request (customer, csr, priority) SELECT '" + customer + "', 'x', '" +
            priority + "' FROM generate_series(1, " + std::to_string(rows) + ")");
  }

  std::vector<store::Claim> claim(int limit, const store::ClaimRules& rules = {}) {
    return store::claim(database, worker, limit, lease, rules);
  }

  static Shares shares(const std::vector<store::Claim>& claims) {
    Shares shares;
    for (const store::Claim& claim : claims) ++shares[claim.customer];
    return shares;
  }

  /// An account of the customer; `shared` of all.
  store::AccountId account(const std::string& customer, AccountPolicy policy = AccountPolicy::per_customer) {
    store::AccountOwner owner = some_owner(customer);
    owner.policy = policy;
    return store::find_or_create_account(database, owner, some_key(customer.empty() ? 's' : customer[0])).id;
  }

  void limit_orders(int burst, Duration period) {
    store::set_rate_limits(database, some_owner().directory,
                           {{"new_orders_per_account", {.burst = burst, .period = period}}});
  }
};

}  // namespace

TEST_CASE("one customer's many rows and another's single one share a claim") {
  Queue queue;
  queue.submit_many("flood", 1000);
  queue.submit_many("small", 1);
  const auto claims = queue.claim(10);
  CHECK(claims.size() == 10);
  CHECK(Queue::shares(claims) == Shares{{"flood", 9}, {"small", 1}});
}

TEST_CASE("a claim goes as the example at the head of queue/claim.sql says") {
  Queue queue;
  queue.submit_many("shop", 4);
  queue.sql.run("UPDATE csrq.job SET kind = 'revoke', started = true, lane = 0, revoke_reason = 0");
  queue.submit_many("mail", 1);
  queue.sql.run("UPDATE csrq.job SET kind = 'renew', lane = 2 WHERE customer = 'mail'");
  queue.submit_many("shop", 1, "urgent");
  queue.submit_many("shop", 100);
  queue.submit_many("bank", 2);
  queue.submit_many("club", 100);
  queue.account("club");
  queue.limit_orders(2, std::chrono::hours(1));
  const auto claims = queue.claim(16);
  CHECK(Queue::shares(claims) == Shares{{"bank", 2}, {"club", 2}, {"mail", 1}, {"shop", 11}});
  CHECK(queue.sql.value(
            "SELECT string_agg(n::text, ' ' ORDER BY started DESC, lane) FROM (SELECT started, lane, "
            "count(*) AS n FROM csrq.job WHERE status = 'leased' GROUP BY started, lane) leased") ==
        "4 1 10 1");
}

TEST_CASE("a claim takes what its lanes leave free from rows that need no new order") {
  Queue queue;
  queue.submit_many("shop", 20);
  queue.sql.run("UPDATE csrq.job SET kind = 'revoke', started = true, lane = 0, revoke_reason = 0");
  CHECK(queue.claim(16).size() == 16);
}

TEST_CASE("lanes are what csrq.job takes, and each priority of a row has one") {
  Store store;
  CHECK(
      store.sql.value("SELECT array_agg(csrq.lane_of(name)::int ORDER BY place) = array(SELECT csrq.lanes()) "
                      "FROM unnest(csrq.lane_names()) WITH ORDINALITY lanes(name, place)") == "t");
  CHECK(store.sql.value(
            "SELECT bool_and(pg_get_constraintdef(oid) LIKE '%lane >= 0%' AND "
            "pg_get_constraintdef(oid) LIKE '%lane <= ' || (SELECT max(n) FROM csrq.lanes() n) || '%') "
            "FROM pg_constraint WHERE conname = 'job_lane_check'") == "t");
  for (const std::string priority : {"urgent", "normal", "bulk"}) {
    CAPTURE(priority);
    const std::string id = std::to_string(store::number(store.submit({.priority = priority})));
    CHECK(store.sql.value("SELECT (csrq.lane_names())[lane + 1] FROM csrq.job WHERE request_id = " + id) ==
          priority);
  }
}

TEST_CASE("whoever was served waits for the others") {
  Queue queue;
  for (const char* customer : {"a", "b", "c"}) queue.submit_many(customer, 3);
  for (int round = 0; round < 3; ++round) {
    Shares shares;
    for (int i = 0; i < 3; ++i) ++shares[queue.claim(1).at(0).customer];
    CHECK(shares == Shares{{"a", 1}, {"b", 1}, {"c", 1}});
  }
  CHECK(queue.claim(1).empty());
}

TEST_CASE("a row that comes while another customer's are being claimed is in the next claim") {
  Queue queue;
  queue.submit_many("flood", 1000);
  queue.claim(64);
  queue.submit_many("small", 1);
  CHECK(Queue::shares(queue.claim(64))["small"] == 1);
}

TEST_CASE("a worker holds at most its share of one customer's rows") {
  Queue queue;
  queue.submit_many("flood", 100);
  CHECK(queue.claim(50, {.most_per_customer = 30}).size() == 30);
  CHECK(queue.claim(50, {.most_per_customer = 30}).empty());
  queue.submit_many("small", 2);
  CHECK(Queue::shares(queue.claim(50, {.most_per_customer = 30})) == Shares{{"small", 2}});
}

TEST_CASE("all workers together hold at most so many rows of one customer's account") {
  Queue queue;
  queue.submit_many("flood", 100);
  CHECK(queue.claim(20, {.most_per_account = 30}).size() == 20);
  const store::WorkerId other = store::worker_start(queue.database, "other", 2, "1");
  const auto claim = [&] { return store::claim(queue.database, other, 20, lease, {.most_per_account = 30}); };
  CHECK(claim().size() == 7);  // an eighth of the 30 is left to renewals
  CHECK(claim().empty());
  queue.submit_many("small", 2);
  CHECK(Queue::shares(claim()) == Shares{{"small", 2}});
}

TEST_CASE("all workers together hold at most so many rows of the shared account, renewals too") {
  Queue queue;
  queue.account("", AccountPolicy::shared);
  queue.submit_many("a", 20);
  queue.submit_many("b", 20);
  queue.sql.run("UPDATE csrq.job SET lane = 2, kind = 'renew' WHERE customer = 'b'");
  const store::ClaimRules rules{.policy = AccountPolicy::shared, .most_per_account = 30};
  CHECK(queue.claim(20, rules).size() == 20);
  const store::WorkerId other = store::worker_start(queue.database, "other", 2, "1");
  CHECK(store::claim(queue.database, other, 20, lease, rules).size() == 10);
  CHECK(store::claim(queue.database, other, 20, lease, rules).empty());
}

TEST_CASE(
    "of a shared account one customer leaves room for the others, also with rows whose orders are open") {
  Queue queue;
  queue.account("", AccountPolicy::shared);
  queue.submit_many("flood", 100);
  queue.sql.run("UPDATE csrq.job SET started = request_id % 2 = 0");
  const store::ClaimRules rules{.policy = AccountPolicy::shared, .most_per_account = 40};
  std::size_t held = 0;
  for (int round = 0; round < 20; ++round) held += queue.claim(4, rules).size();
  CHECK(held >= 30);
  CHECK(held < 35);
  queue.submit_many("small", 1, "urgent");
  const store::WorkerId other = store::worker_start(queue.database, "other", 2, "1");
  CHECK(Queue::shares(store::claim(queue.database, other, 20, lease, rules))["small"] == 1);
}

TEST_CASE(
    "a flood of new rows under an account leaves room for renewals, be the account shared or the customer's "
    "own") {
  Queue queue;
  store::ClaimRules rules{.most_per_account = 16};
  SUBCASE("own") {}
  SUBCASE("shared") {
    rules.policy = AccountPolicy::shared;
    queue.account("", AccountPolicy::shared);
  }
  queue.submit_many("acme", 100);
  for (int round = 0; round < 10; ++round) queue.claim(20, rules);
  queue.sql.run("UPDATE csrq.job SET lane = 2, kind = 'renew' WHERE request_id > 95");
  int renewals = 0;
  for (const store::Claim& claim : queue.claim(20, rules)) renewals += claim.kind == store::JobKind::renew;
  CHECK(renewals == 2);
}

TEST_CASE("revocations are not among the rows that an account may have in flight") {
  Queue queue;
  queue.submit_many("acme", 10);
  queue.sql.run(
      "UPDATE csrq.job SET kind = 'revoke', started = true, revoke_reason = 0 WHERE request_id <= 5");
  CHECK(queue.claim(20, {.most_per_account = 4}).size() == 8);
}

TEST_CASE("a new order waits while as many of its account are in flight as may be") {
  Queue queue;
  queue.submit_many("acme", 4);
  const store::AccountId account = queue.account("acme");
  const auto claims = queue.claim(4);
  const auto open = [&](std::size_t row) {
    return store::open_order(queue.database, claims.at(row).fence, account,
                             {"n" + std::to_string(row) + ".example"}, {}, {.most_in_flight = 2});
  };
  CHECK(open(0).order);
  CHECK(open(1).order);
  const auto refused = open(2);
  REQUIRE(refused.not_yet);
  CHECK(refused.not_yet->code == "account_busy");
  CHECK(refused.not_yet->detail.find("2 orders are in flight under this account") != std::string::npos);
  CHECK(open(0).order);  // it has one already
  // One that no worker holds is not in flight, though its order is open.
  REQUIRE(store::put_off(queue.database, claims.at(0).fence, std::chrono::hours(1), nullptr));
  CHECK(open(2).order);
  CHECK(open(3).not_yet);
}

TEST_CASE("rows committed late, after their customer's turn was over, get another") {
  Queue queue;
  pqxx::connection late(queue.test.url());
  pqxx::work transaction(late);
  queue.submit_many("acme", 1);
  transaction.exec("INSERT INTO csrq.request (customer, csr) VALUES ('acme', 'x')");
  CHECK(queue.claim(10).size() == 1);
  CHECK(queue.claim(10).empty());
  transaction.commit();
  CHECK(queue.claim(10).size() == 1);
  CHECK(queue.claim(10).empty());
}

TEST_CASE("an app that keeps its insert open holds up no other insert of its customer, nor their rows") {
  Queue queue;
  pqxx::connection late(queue.test.url());
  pqxx::work transaction(late);
  transaction.exec("INSERT INTO csrq.customer (name) VALUES ('acme')");
  transaction.exec("COMMIT; BEGIN");
  transaction.exec("INSERT INTO csrq.request (customer, csr) VALUES ('acme', 'x')");
  queue.sql.run("SET lock_timeout = '1s'");
  queue.submit_many("acme", 5);
  CHECK(queue.claim(10).size() == 5);
}

TEST_CASE("no row is left without a turn, whatever inserts and claims run at once") {
  Queue queue;
  constexpr int writers = 4;
  constexpr int rows = 60;
  std::vector<std::jthread> threads;
  threads.reserve(writers);
  std::atomic<int> writing = writers;
  for (int writer = 0; writer < writers; ++writer)
    threads.emplace_back([&] {
      Sql sql(queue.test.url());
      for (int row = 0; row < rows; ++row)
        sql.run("INSERT INTO csrq.request (customer, csr) VALUES ('c" + std::to_string(row % 3) + "', 'x')");
      --writing;
    });
  std::size_t claimed = 0;
  const auto claim_all = [&] {
    for (auto claims = queue.claim(5); !claims.empty(); claims = queue.claim(5)) claimed += claims.size();
  };
  while (writing > 0) claim_all();
  threads.clear();
  claim_all();
  CHECK(claimed == std::size_t{writers} * rows);
}

TEST_CASE("only rows whose account may open an order are claimed") {
  Queue queue;
  queue.limit_orders(3, std::chrono::hours(3));
  queue.account("acme");
  queue.account("other");
  queue.submit_many("acme", 10);
  queue.submit_many("other", 1);
  CHECK(Queue::shares(queue.claim(10)) == Shares{{"acme", 3}, {"other", 1}});
}

TEST_CASE(
    "while an account may open none, its rows are not claimed, and the line shows when it is their turn") {
  Queue queue;
  queue.limit_orders(2, std::chrono::hours(2));
  const auto account = queue.account("acme");
  queue.submit_many("acme", 5);
  queue.sql.run("SELECT csrq.spend('" + some_owner().directory +
                "', '{new_orders_per_account,new_orders_per_account}', ARRAY['" +
                std::to_string(store::number(account)) + "', '" + std::to_string(store::number(account)) +
                "'])");
  queue.sql.run("SELECT csrq.spend('" + some_owner().directory + "', '{new_orders_per_account}', ARRAY['" +
                std::to_string(store::number(account)) + "'])");
  CHECK(queue.claim(10).empty());
  CHECK(queue.sql.value("SELECT count(*) FROM csrq.turn WHERE turn_at > now() + interval '50 minutes'") ==
        "1");
  CHECK(queue.sql.value(
            "SELECT bool_and(earliest_issue_at > now() + interval '50 minutes') FROM csrq.status") == "t");

  queue.submit_many("small", 1);
  CHECK(Queue::shares(queue.claim(10)) == Shares{{"small", 1}});
}

TEST_CASE("a shared account's orders are shared out among its customers") {
  Queue queue;
  queue.limit_orders(4, std::chrono::hours(4));
  queue.account("", AccountPolicy::shared);
  queue.submit_many("flood", 100);
  queue.submit_many("small", 1);
  const auto claims = queue.claim(10, {.policy = AccountPolicy::shared});
  CHECK(Queue::shares(claims) == Shares{{"flood", 3}, {"small", 1}});
}

TEST_CASE("a row whose order is open is claimed although no new order may be opened") {
  Queue queue;
  const auto claim = [&] {
    queue.submit();
    return queue.claim_one();
  }();
  queue.ready_order(claim.fence);
  REQUIRE(store::put_off(queue.database, claim.fence, Duration(0), nullptr));
  store::write_hold(queue.database, {.directory = some_owner().directory, .limit = {.scope = LimitScope::ca}},
                    std::chrono::hours(1), some_failure(FailureClass::limited));
  queue.submit();
  const auto claims = queue.claim(10);
  REQUIRE(claims.size() == 1);
  CHECK(claims[0].fence.request == claim.fence.request);
}

TEST_CASE("customers whose accounts may open no order do not hide another's row from a claim") {
  Queue queue;
  queue.limit_orders(1, std::chrono::hours(1));
  for (int n = 0; n < 20; ++n) {
    const std::string customer = std::string(1, static_cast<char>('a' + n)) + "-limited";
    const auto account = std::to_string(store::number(queue.account(customer)));
    queue.submit_many(customer, 2);
    queue.sql.run("SELECT csrq.spend('" + some_owner().directory + "', '{new_orders_per_account}', '{" +
                  account + "}')");
  }
  queue.submit_many("small", 1);
  CHECK(Queue::shares(queue.claim(4)) == Shares{{"small", 1}});
}

TEST_CASE("a flood of revocations leaves room for another customer's urgent row") {
  Queue queue;
  queue.submit_many("flood", 20);
  queue.sql.run("UPDATE csrq.job SET kind = 'revoke', started = true, lane = 0, revoke_reason = 0");
  queue.submit_many("small", 1, "urgent");
  const auto claims = queue.claim(8);
  CHECK(claims.size() == 8);
  CHECK(Queue::shares(claims)["small"] == 1);
}

TEST_CASE("whoever has its share of a worker in revocations gets no more before others do") {
  Queue queue;
  queue.submit_many("flood", 20);
  queue.sql.run("UPDATE csrq.job SET kind = 'revoke', started = true, lane = 0, revoke_reason = 0");
  CHECK(queue.claim(6, {.most_per_customer = 4}).size() == 6);
  queue.submit_many("small", 3, "bulk");
  queue.sql.run(
      "UPDATE csrq.job SET kind = 'revoke', started = true, revoke_reason = 0 "
      "WHERE request_id = (SELECT max(id) FROM csrq.request)");
  CHECK(Queue::shares(queue.claim(6, {.most_per_customer = 4})) == Shares{{"small", 3}});
}

TEST_CASE("an open insert for many customers keeps no other customer from its turn") {
  Queue queue;
  queue.sql.run("INSERT INTO csrq.customer (name) SELECT 'c' || n FROM generate_series(1, 1200) n");
  queue.sql.run(
      "INSERT INTO csrq.request (customer, csr) SELECT 'c' || n, 'x' FROM generate_series(1, 1200) n");
  pqxx::connection late(queue.test.url());
  pqxx::work transaction(late);
  transaction.exec(
      "INSERT INTO csrq.request (customer, csr) SELECT 'c' || n, 'x' FROM generate_series(1, 1200) n");
  queue.submit_many("small", 1, "urgent");
  CHECK(Queue::shares(queue.claim(2)).contains("small"));
}

TEST_CASE("what an administrator changes about a limit counts at the next claim") {
  Queue queue;
  queue.limit_orders(1, std::chrono::hours(1));
  const auto account = std::to_string(store::number(queue.account("acme")));
  queue.sql.run("SELECT csrq.spend('" + some_owner().directory + "', '{new_orders_per_account}', '{" +
                account + "}')");
  queue.submit_many("acme", 3);
  CHECK(queue.claim(10).empty());
  queue.sql.run("INSERT INTO csrq.rate_limit (directory, name, key, burst, period) VALUES ('" +
                some_owner().directory + "', 'new_orders_per_account', '" + account + "', 100, '1 hour')");
  CHECK(queue.claim(10).size() == 3);
}

TEST_CASE("urgent rows, however many, come first and let the others pass") {
  Queue queue;
  queue.submit_many("flood", 100, "urgent");
  queue.submit_many("small", 10);
  CHECK(Queue::shares(queue.claim(8)) == Shares{{"flood", 6}, {"small", 2}});
  int others = 0;
  for (int i = 0; i < 60; ++i) others += Queue::shares(queue.claim(1)).contains("small") ? 1 : 0;
  CHECK(others > 0);  // 8 of 60, and by chance 0 in 30 million runs
}

TEST_CASE("a customer that may not insert urgent rows is told so, and inserts others") {
  Queue queue;
  queue.submit_many("acme", 1, "urgent");
  queue.sql.run("UPDATE csrq.customer SET urgent_allowed = false");
  const auto refusal = [&](const std::string& priority) {
    return queue.sql.refusal("INSERT INTO csrq.request (customer, csr, priority) VALUES ('acme', 'x', '" +
                             priority + "')");
  };
  CHECK(refusal("urgent").find("customer \"acme\" may not insert urgent requests") != std::string::npos);
  CHECK(refusal("normal").empty());
  queue.submit_many("other", 1, "urgent");
}

TEST_CASE("normal rows, however many, let renewals and bulk rows pass") {
  Queue queue;
  queue.submit_many("flood", 1000);
  queue.submit_many("bulk", 1, "bulk");
  queue.submit_many("renewing", 1);
  queue.sql.run("UPDATE csrq.job SET kind = 'renew', lane = 2 WHERE customer = 'renewing'");
  const auto claims = queue.claim(16);
  CHECK(claims.size() == 16);
  CHECK(Queue::shares(claims) == Shares{{"bulk", 1}, {"flood", 14}, {"renewing", 1}});
}
