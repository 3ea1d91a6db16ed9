#include "store/renewal_info.hpp"

#include <doctest/doctest.h>

#include "db/store_fixture.hpp"
#include "store/incidents.hpp"

using namespace std::chrono_literals;
using namespace csrq;
using namespace csrq::test;

namespace {

struct Watched : Store {
  /// An issued row whose CA is to be asked now.
  store::RequestId issued(const std::string& serial = "01") {
    const auto id = submit();
    issue_next(serial);
    due();
    return id;
  }
  void due() { sql.run("UPDATE csrq.renewal_info SET check_at = now() - interval '1 minute'"); }

  /// The answer is a window that begins `ahead` from now and lasts two days; the instant is its middle.
  std::int64_t answer(Duration ahead, std::optional<Duration> again = 6h, Duration share = 24h) {
    std::vector<store::RenewalAnswer> answers;
    for (const auto& one : store::claim_renewal_info(database, 10)) {
      const Time start = std::chrono::floor<std::chrono::seconds>(base_ + ahead);
      answers.push_back({.request = one.request,
                         .certificate = one.certificate,
                         .window = store::RenewalWindow{.start = start,
                                                        .end = start + 48h,
                                                        .instant = start + share,
                                                        .explanation_url = "https://ca.example/why"},
                         .failure = std::nullopt,
                         .again = again});
    }
    return store::record_renewal_info(database, answers);
  }
  void fail(std::optional<Duration> again = std::nullopt) {
    std::vector<store::RenewalAnswer> answers;
    for (const auto& one : store::claim_renewal_info(database, 10))
      answers.push_back({.request = one.request,
                         .certificate = one.certificate,
                         .window = std::nullopt,
                         .failure = some_failure(FailureClass::transient),
                         .again = again});
    store::record_renewal_info(database, answers);
  }

  double hours(const std::string& what) {
    return std::stod(
        sql.value("SELECT extract(epoch FROM " + what +
                  " - now()) / 3600 FROM csrq.renewal_info i "
                  "LEFT JOIN csrq.renewal n USING (request_id) JOIN csrq.request r ON r.id = request_id"));
  }

 private:
  const Time base_ = now();
};

}  // namespace

TEST_CASE("a fresh certificate is looked at within a day, on the second of the day that is its own") {
  Store store;
  const int count = 200;
  for (int i = 0; i < count; ++i) store.submit();
  for (int i = 0; i < count; ++i) store.issue_next(std::to_string(1000 + i));
  CHECK(store.count("renewal_info WHERE check_at > now() AND check_at <= now() + interval '1 day'") == "200");
  for (int quarter = 0; quarter < 4; ++quarter) {
    const int in_it =
        std::stoi(store.count("renewal_info WHERE floor(extract(epoch FROM check_at - now()) / 21600) = " +
                              std::to_string(quarter)));
    CHECK(in_it > 25);
    CHECK(in_it < 80);
  }
  CHECK(store.count("renewal_info i WHERE csrq.renewal_check_after(request_id, check_at - interval '1 "
                    "second') <> check_at") == "0");
  CHECK(store.count("renewal_info i WHERE csrq.renewal_check_after(request_id, check_at) <> check_at + "
                    "interval '1 day'") == "0");
}

TEST_CASE("what a worker asks about no other asks about, until ten minutes have passed") {
  Watched store;
  const auto id = store.issued();
  const auto claimed = store::claim_renewal_info(store.database, 10);
  REQUIRE(claimed.size() == 1);
  CHECK(claimed.front().request == id);
  CHECK(claimed.front().renewal_info_id == "ari");
  CHECK(claimed.front().directory == "https://ca.example/dir");
  CHECK(claimed.front().latest == claimed.front().not_after - 9 * 24h);
  CHECK(!claimed.front().earliest);
  CHECK(store::claim_renewal_info(store.database, 10).empty());
  store.sql.run("UPDATE csrq.renewal_info SET claimed_until = now() - interval '1 second'");
  CHECK(store::claim_renewal_info(store.database, 10).size() == 1);
}

TEST_CASE("the renewal follows the window, ahead and back, and request, plan and view say so") {
  Watched store;
  store.issued();
  CHECK(store.answer(24h * 10) == 1);
  CHECK(std::abs(store.hours("n.renew_at") - 11 * 24) < 0.1);
  CHECK(std::abs(store.hours("r.renew_at") - 11 * 24) < 0.1);
  CHECK(std::abs(store.hours("n.deadline") - 12 * 24) < 0.1);
  CHECK(store.sql.value("SELECT state FROM csrq.renewal_windows") == "ahead");
  CHECK(store.count("event WHERE what = 'renewal_moved_ahead' AND detail ->> 'explanation_url' = "
                    "'https://ca.example/why'") == "1");
  store.due();
  CHECK(store.answer(24h * 70) == 1);
  CHECK(std::abs(store.hours("n.renew_at") - 71 * 24) < 0.1);
  CHECK(store.count("event WHERE what = 'renewal_moved_ahead'") == "1");
}

TEST_CASE(
    "windows that a CA moves into the past are an incident of its own, and one that it moves back is no more "
    "due") {
  Watched store;
  store.issued();
  store.answer(24h * 10);
  CHECK(store::incidents(store.database).empty());
  store.due();
  store.answer(-72h);
  const auto opened = store::incidents(store.database);
  REQUIRE(opened.size() == 1);
  CHECK(opened[0].directory == "https://ca.example/dir");
  CHECK(opened[0].renewals == 1);
  CHECK(opened[0].left == 1);
  CHECK_FALSE(opened[0].is_complete);
  CHECK(store.count("renewal WHERE renew_at <= now()") == "1");
  CHECK(store::fill_incidents(store.database) == 0);

  store.due();
  CHECK(store.answer(24h * 20) == 1);
  CHECK(store.count("renewal WHERE renew_at <= now()") == "0");
  CHECK(store::incidents(store.database).at(0).left == 0);
  store.due();
  store.answer(-72h);
  CHECK(store::incidents(store.database).at(0).renewals == 1);

  REQUIRE(store::renew_due(store.database, 10) == 1);
  store.issue_next("02");
  CHECK(store::incidents(store.database).at(0).done == 1);
  CHECK(store::incidents(store.database).at(0).left == 0);
}

TEST_CASE("a window that is past when csrq first hears of it is no recall") {
  Watched store;
  store.issued();
  CHECK(store.answer(-72h) == 1);
  CHECK(store::incidents(store.database).empty());
}

TEST_CASE("what a CA recalls within two days is one incident, what it recalls later another one") {
  Watched store;
  store.issued();
  store.answer(24h * 10);
  store.due();
  store.answer(-72h);
  store.sql.run("UPDATE csrq.incident SET opened_at = now() - interval '49 hours'");
  store::fill_incidents(store.database);
  CHECK(store::incidents(store.database).at(0).is_complete);
  store.issued("02");
  store.answer(24h * 10);
  store.due();
  store.answer(-72h);
  REQUIRE(store::incidents(store.database).size() == 2);
  CHECK(store::incidents(store.database).at(0).renewals == 2);  // the first row's window has moved as well
}

TEST_CASE("the instant is drawn once for each window, and again for a new one") {
  Watched store;
  store.issued();
  store.answer(24h * 10, 6h, 3h);
  store.due();
  CHECK(store.answer(24h * 10, 6h, 40h) == 0);
  CHECK(std::abs(store.hours("n.renew_at") - 243) < 0.1);
  store.due();
  CHECK(store.answer(24h * 12, 6h, 40h) == 1);
  CHECK(std::abs(store.hours("n.renew_at") - 328) < 0.1);
}

TEST_CASE("a renewal that levelling moved ahead stays there while the window is the same") {
  Watched store;
  store.issued();
  store.answer(24h * 40);
  store.sql.run("UPDATE csrq.renewal SET rule_at = renew_at, renew_at = renew_at - interval '3 days'");
  store.due();
  CHECK(store.answer(24h * 40) == 0);
  store.due();
  CHECK(store.answer(24h * 39) == 1);
  CHECK(store.sql.value("SELECT rule_at FROM csrq.renewal").empty());
}

TEST_CASE("the CA is asked again on the next day's slot, and not before it wants to be asked") {
  Watched store;
  const auto id = store.issued();
  const std::string slot = "csrq.renewal_check_after(" + std::to_string(store::number(id)) + ", ";
  store.answer(24h * 10, 6h);
  CHECK(store.count("renewal_info WHERE check_at = date_trunc('second', " + slot +
                    "now() + interval '6 hours'))") == "1");
  CHECK(store.count("renewal_info WHERE check_at BETWEEN now() + interval '5.9 hours' AND now() + interval "
                    "'30.1 hours'") == "1");
  store.due();
  store.answer(24h * 10, 24h);
  CHECK(store.hours("i.check_at") > 23.9);
  CHECK(store.hours("i.check_at") < 44.1);
}

TEST_CASE("an answer of no use leaves window and renewal alone; the wait doubles up to six hours") {
  Watched store;
  store.issued();
  store.answer(24h * 10);
  double last = 0;
  for (const double expected : {0.25, 0.5, 1.0, 2.0, 4.0, 6.0, 6.0}) {
    store.due();
    store.fail();
    last = store.hours("i.check_at");
    CHECK(last > 0.89 * expected);
    CHECK(last < 1.11 * expected);
  }
  CHECK(std::abs(store.hours("n.renew_at") - 11 * 24) < 0.1);
  CHECK(store.sql.value("SELECT failures || (error ->> 'code') FROM csrq.renewal_windows") == "7dns");
  store.due();
  store.answer(24h * 10);
  CHECK(store.count("renewal_info WHERE failures = 0 AND error IS NULL") == "1");
}

TEST_CASE("a renewal starts anew: no window, and an answer about the former certificate is dropped") {
  Watched store;
  const auto id = store.issued();
  store.answer(24h * 10);
  store.due();
  const auto claimed = store::claim_renewal_info(store.database, 10);
  REQUIRE(store::renew(store.database, id));
  store.issue_next("02");
  CHECK(store.count("renewal_info WHERE window_start IS NULL AND claimed_until IS NULL") == "1");
  CHECK(store.count("renewal WHERE deadline IS NULL AND not_after IS NOT NULL") == "1");
  store::record_renewal_info(
      store.database,
      {{.request = id,
        .certificate = claimed.front().certificate,
        .window =
            store::RenewalWindow{.start = now(), .end = now() + 24h, .instant = now(), .explanation_url = {}},
        .failure = std::nullopt,
        .again = 6h}});
  CHECK(store.count("renewal_info WHERE window_start IS NULL") == "1");
}

TEST_CASE("a certificate that is itself a renewal is not renewed within its first day") {
  Watched store;
  const auto id = store.issued();
  REQUIRE(store::renew(store.database, id));
  store.issue_next("02");
  store.due();
  const auto claimed = store::claim_renewal_info(store.database, 10);
  REQUIRE(claimed.size() == 1);
  REQUIRE(claimed.front().earliest);
  CHECK(std::chrono::abs(*claimed.front().earliest - now() - 24h) < 5min);
}

TEST_CASE("nobody is asked about a certificate that was cancelled or has ended") {
  Watched store;
  store::cancel(store.database, store.issued());
  CHECK(store::claim_renewal_info(store.database, 10).empty());
  CHECK(store.count("renewal_info") == "0");
}

TEST_CASE("many answers cost two statements' worth of index reads, not the portfolio") {
  Watched store;
  for (int i = 0; i < 5; ++i) store.issued(std::to_string(i + 1));
  store.sql.run("SET session_replication_role = replica");
  store.sql.run(
      "INSERT INTO csrq.renewal_info (request_id, certificate_id, check_at) SELECT n, n, now() + n * "
      "interval '1 second' FROM generate_series(1000, 60000) n");
  store.sql.run(
      "INSERT INTO csrq.renewal (request_id, renew_at) SELECT n, now() + n * interval '1 minute' FROM "
      "generate_series(1000, 60000) n");
  store.sql.run("ANALYZE csrq.renewal_info, csrq.renewal");
  const auto rows_read = [&] {
    return std::stol(
        store.sql.value("SELECT sum(seq_tup_read + idx_tup_fetch) FROM pg_stat_user_tables WHERE relname IN "
                        "('renewal', 'renewal_info')"));
  };
  store.sql.run("SELECT pg_stat_force_next_flush()");
  const auto before = rows_read();
  store.answer(24h * 10);
  store.database.run(
      [](pqxx::transaction_base& transaction) { transaction.exec("SELECT pg_stat_force_next_flush()"); });
  CHECK(rows_read() - before < 300);
}

TEST_CASE("which certificate an order replaces: the one in the row, of the same account, once") {
  Watched store;
  const auto id = store.issued();
  const auto account = store::find_or_create_account(store.database, some_owner(), some_key('a')).id;
  const auto other = store::find_or_create_account(store.database, some_owner("else"), some_key('b')).id;
  CHECK(store::certificate_to_replace(store.database, id, account) == "ari");
  CHECK(store::certificate_to_replace(store.database, id, other).empty());
  REQUIRE(store::renew(store.database, id));
  const auto claim = store.claim_one();
  const auto order = store::open_order(store.database, claim.fence, account, {"a.example"}, {}).order.value();
  Failure refused = some_failure(FailureClass::permanent);
  refused.code = "replaces_refused";
  store::close_order(store.database, claim.fence, order.id, OrderStatus::lost, refused);
  CHECK(store::certificate_to_replace(store.database, id, account).empty());
}
