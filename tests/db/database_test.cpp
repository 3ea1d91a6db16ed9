#include "store/database.hpp"

#include <doctest/doctest.h>

#include <barrier>
#include <future>
#include <latch>

#include "base/error.hpp"
#include "db/connection_proxy.hpp"
#include "db/store_fixture.hpp"

using namespace csrq;
using namespace csrq::test;

namespace {

/// A store with a table to write to.
struct Numbers : Store {
  Numbers() { sql.run("CREATE TABLE number (n int PRIMARY KEY)"); }
  std::string count() { return sql.value("SELECT count(*) FROM public.number"); }
};

std::function<void(pqxx::transaction_base&)> insert(int n) {
  return [n](pqxx::transaction_base& transaction) {
    transaction.exec("INSERT INTO public.number VALUES (" + std::to_string(n) + ")");
  };
}

/// Keeps the database's thread busy until `others` more calls wait behind it, so that they share the next
/// commit.
std::vector<std::future<void>> run_together(
    store::Database& database, const std::vector<std::function<void(pqxx::transaction_base&)>>& works,
    const std::vector<std::function<void(pqxx::transaction_base&)>>& alone = {}) {
  const auto before = database.statistics().calls;
  std::latch busy(1);
  std::latch go_on(1);
  auto first = std::async(std::launch::async, [&] {
    database.run([&](pqxx::transaction_base&) {
      busy.count_down();
      go_on.wait();
    });
  });
  busy.wait();
  std::vector<std::future<void>> calls;
  calls.reserve(works.size() + alone.size());
  for (const auto& work : works)
    calls.push_back(std::async(std::launch::async, [&database, &work] { database.run(work); }));
  for (const auto& work : alone)
    calls.push_back(std::async(std::launch::async, [&database, &work] { database.run_alone(work); }));
  while (database.statistics().calls < before + 1 + works.size() + alone.size()) std::this_thread::yield();
  go_on.count_down();
  first.get();
  for (auto& call : calls) call.wait();
  return calls;
}

void terminate_others(Sql& sql) {
  sql.run(
      "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
      "WHERE datname = current_database() AND pid <> pg_backend_pid()");
}

}  // namespace

TEST_CASE("calls that queue up behind a commit share the next one") {
  Numbers numbers;
  std::vector<std::function<void(pqxx::transaction_base&)>> works;
  works.reserve(20);
  for (int n = 0; n < 20; ++n) works.push_back(insert(n));
  const auto before = numbers.database.statistics();
  for (auto& call : run_together(numbers.database, works)) CHECK_NOTHROW(call.get());
  CHECK(numbers.count() == "20");
  CHECK(numbers.database.statistics().calls - before.calls == 21);
  CHECK(numbers.database.statistics().commits - before.commits == 2);
}

TEST_CASE("a call that wants to be alone shares no transaction, wherever in the queue it stands") {
  Numbers numbers;
  std::string alone;
  std::string others;
  const auto transaction_id = [](pqxx::transaction_base& transaction) {
    return std::string(transaction.exec("SELECT pg_current_xact_id()")[0][0].c_str());
  };
  auto calls =
      run_together(numbers.database,
                   {[&](pqxx::transaction_base& transaction) { others = transaction_id(transaction); },
                    insert(1), insert(2)},
                   {[&](pqxx::transaction_base& transaction) { alone = transaction_id(transaction); }});
  for (auto& call : calls) CHECK_NOTHROW(call.get());
  CHECK(numbers.sql.value("SELECT count(*) FROM number WHERE xmin::text = '" + alone + "'") == "0");
  CHECK(alone != others);
}

TEST_CASE("of the calls in a shared commit only the guilty one fails") {
  Numbers numbers;
  std::vector<std::function<void(pqxx::transaction_base&)>> works;
  works.reserve(20);
  for (int n = 0; n < 9; ++n) works.push_back(insert(n));
  works.insert(works.begin() + 4, insert(1000000));
  works[4] = [](pqxx::transaction_base& transaction) {
    transaction.exec("INSERT INTO public.number VALUES (NULL)");
  };
  auto calls = run_together(numbers.database, works);
  for (std::size_t i = 0; i < calls.size(); ++i) {
    CAPTURE(i);
    if (i == 4) {
      CHECK_THROWS_AS(calls[i].get(), pqxx::sql_error);
    } else {
      CHECK_NOTHROW(calls[i].get());
    }
  }
  CHECK(numbers.count() == "9");
}

TEST_CASE("what a work throws reaches its caller, and nothing of it is written") {
  Numbers numbers;
  const auto work = [](pqxx::transaction_base& transaction) {
    insert(1)(transaction);
    throw UsageError("no");
  };
  CHECK_THROWS_AS(numbers.database.run(work), UsageError);
  CHECK(numbers.count() == "0");
}

TEST_CASE("a connection that was cut while idle is mended") {
  Numbers numbers;
  terminate_others(numbers.sql);
  CHECK_NOTHROW(numbers.database.run(insert(1)));
  CHECK(numbers.count() == "1");
}

TEST_CASE("a connection that is cut in the middle of a transaction: the work runs again, whole") {
  Numbers numbers;
  int runs = 0;
  numbers.database.run([&](pqxx::transaction_base& transaction) {
    insert(1)(transaction);
    if (++runs == 1) terminate_others(numbers.sql);
    insert(2)(transaction);
  });
  CHECK(runs == 2);
  CHECK(numbers.count() == "2");
}

TEST_CASE("a work that kills its connection each time gives up, and the next one is served") {
  Numbers numbers;
  const auto killer = [](pqxx::transaction_base& transaction) {
    transaction.exec("SELECT pg_terminate_backend(pg_backend_pid(), 1000)");
    transaction.exec("SELECT 1");
  };
  CHECK_THROWS_AS(numbers.database.run(killer), Unreachable);
  CHECK_NOTHROW(numbers.database.run(insert(1)));
}

TEST_CASE("a deadlock is tried again: both come through") {
  Numbers numbers;
  numbers.sql.run("INSERT INTO public.number VALUES (1), (2); ALTER TABLE number ADD touched int DEFAULT 0");
  store::Database other({.url = numbers.test.url()});
  std::barrier both_hold_one(2);
  const auto touch = [&](const char* first, const char* second) {
    return [&, first, second, runs = 0](pqxx::transaction_base& transaction) mutable {
      transaction.exec(std::string("UPDATE public.number SET touched = touched + 1 WHERE n = ") + first);
      if (++runs == 1) both_hold_one.arrive_and_wait();
      transaction.exec(std::string("UPDATE public.number SET touched = touched + 1 WHERE n = ") + second);
    };
  };
  auto one = std::async(std::launch::async, [&] { numbers.database.run(touch("1", "2")); });
  auto two = std::async(std::launch::async, [&] { other.run(touch("2", "1")); });
  CHECK_NOTHROW(one.get());
  CHECK_NOTHROW(two.get());
  CHECK(numbers.sql.value("SELECT sum(touched) FROM public.number") == "4");
}

TEST_CASE("a commit whose answer is lost") {
  Numbers numbers;
  ConnectionProxy proxy(numbers.test.url());
  store::Database database({.url = proxy.url()});
  int runs = 0;
  const auto work = [&](pqxx::transaction_base& transaction) {
    ++runs;
    transaction.exec("INSERT INTO public.number SELECT coalesce(max(n), 0) + 1 FROM public.number");
  };

  SUBCASE("is not repeated if it took place") {
    proxy.cut_at_next_commit(ConnectionProxy::Cut::behind);
    CHECK_NOTHROW(database.run(work));
    CHECK(runs == 1);
  }
  SUBCASE("is repeated if it did not") {
    proxy.cut_at_next_commit(ConnectionProxy::Cut::before);
    CHECK_NOTHROW(database.run(work));
    CHECK(runs == 2);
  }
  CHECK(numbers.count() == "1");
}

TEST_CASE(
    "a database that stays away longer than the patience is unreachable, and taken up again when it is "
    "back") {
  Numbers numbers;
  ConnectionProxy proxy(numbers.test.url());
  store::Database database({.url = proxy.url(), .patience = std::chrono::milliseconds(200)});
  proxy.close();
  CHECK_THROWS_AS(database.run(insert(1)), Unreachable);
  proxy.open();
  CHECK_NOTHROW(database.run(insert(1)));
  CHECK(numbers.count() == "1");
}
