#include <doctest/doctest.h>

#include <atomic>
#include <thread>

#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "db/store_fixture.hpp"
#include "store/notifications.hpp"

using namespace csrq;
using namespace csrq::test;
using namespace std::chrono_literals;
using nlohmann::json;

namespace {

using Texts = std::vector<std::string>;

/// A store whose failures are told at once, the default recipient having a webhook.
struct Outbox : Store {
  store::NotificationRules rules{
      .can = {"webhook", "mail"}, .default_channels = {"webhook"}, .digest = 15min, .soon = {}};

  int make() { return store::make_notifications(database, rules); }
  std::vector<store::Delivery> claim() { return store::claim_deliveries(database, rules.can, 100, 2min); }

  void failures(int count, const std::string& code, const std::string& customer = "acme") {
    sql.run("INSERT INTO csrq.event (request_id, customer, what, detail) SELECT n, '" + customer +
            "', 'failed', jsonb_build_object('error', jsonb_build_object('class', 'validation', 'code', '" +
            code + "', 'detail', 'no such name ' || n), 'failures', 1) FROM generate_series(1, " +
            std::to_string(count) + ") n");
  }
  json payload(const std::string& condition = "true") {
    return json::parse(
        sql.value("SELECT payload FROM csrq.notification WHERE " + condition + " ORDER BY id DESC LIMIT 1"));
  }
  std::string kinds() { return sql.value("SELECT string_agg(kind, ' ' ORDER BY id) FROM csrq.notification"); }
  std::string delivery(const std::string& column, std::int64_t id) {
    return sql.value("SELECT " + column +
                     " FROM csrq.notification_delivery WHERE notification_id = " + std::to_string(id));
  }
  void digest_interval_passes() {
    sql.run(
        "UPDATE csrq.failure_digest SET told_at = told_at - interval '15 minutes', due_at = due_at - "
        "interval '15 minutes'");
  }
};

std::string number_text(store::RequestId id) {
  return std::to_string(store::number(id));
}

/// Issued rows whose renewals are open and do not come about.
struct Renewals : Outbox {
  /// A certificate of 90 days of which `remaining` is left, its renewal open since a day.
  store::RequestId late(const std::string& remaining, int failures, const std::string& customer = "acme") {
    static int serial = 100;
    submit({.customer = customer});
    const auto id = issue_next(std::to_string(++serial));
    sql.run("UPDATE csrq.request SET not_after = now() + interval '" + remaining +
            "', not_before = now() + interval '" + remaining +
            "' - interval '90 days' WHERE id = " + number_text(id));
    sql.run("INSERT INTO csrq.job (request_id, customer, lane, kind, created_at, failures) VALUES (" +
            number_text(id) + ", '" + customer + "', 2, 'renew', now() - interval '1 day', " +
            std::to_string(failures) + ")");
    return id;
  }
  void time_passes(const std::string& interval) {
    sql.run("UPDATE csrq.request SET not_after = not_after - interval '" + interval +
            "', not_before = not_before - interval '" + interval + "'");
  }
  int look() {
    sql.run("UPDATE csrq.notifier SET expiry_checked_at = '-infinity'");
    return make();
  }
};

store::Alarm ca_is_out(const std::string& directory) {
  return {.key = {store::AlarmKind::ca, directory, std::nullopt},
          .code = "ca_out_of_reach",
          .detail = "the CA is out"};
}

}  // namespace

TEST_CASE("ten thousand failures of one cause are one message with a count and a few examples") {
  Outbox outbox;
  outbox.failures(10'000, "dns");
  CHECK(outbox.make() == 1);
  CHECK(outbox.make() == 0);
  const json message = outbox.payload();
  CHECK(message["kind"] == "digest");
  CHECK(message["count"] == 10'000);
  CHECK(message["customer"].is_null());
  CHECK(message["summary"] == "10000 failures: dns (validation)");
  REQUIRE(message["causes"].size() == 1);
  const json& cause = message["causes"][0];
  CHECK(cause["code"] == "dns");
  CHECK(cause["count"] == 10'000);
  REQUIRE(cause["examples"].size() == 5);
  CHECK(cause["examples"][0]["request"] == 1);
  CHECK(cause["examples"][0]["detail"] == "no such name 1");
  CHECK(outbox.claim().size() == 1);
}

TEST_CASE("a new cause is told soon, one that was told waits for the next digest") {
  Outbox outbox;
  outbox.rules.soon = 1min;
  outbox.failures(3, "dns");
  CHECK(outbox.make() == 0);
  CHECK(outbox.sql.value(
            "SELECT due_at - now() BETWEEN interval '50 s' AND interval '60 s' FROM csrq.failure_digest") ==
        "t");
  outbox.sql.run("UPDATE csrq.failure_digest SET due_at = now()");
  CHECK(outbox.make() == 1);
  outbox.failures(4, "dns");
  outbox.failures(1, "caa");
  CHECK(outbox.make() == 0);
  CHECK(outbox.sql.value(
            "SELECT due_at - now() > interval '14 min' FROM csrq.failure_digest WHERE code = 'dns'") == "t");
  CHECK(outbox.sql.value(
            "SELECT due_at - now() <= interval '1 min' FROM csrq.failure_digest WHERE code = 'caa'") == "t");
  outbox.failures(5, "dns");
  outbox.make();
  outbox.digest_interval_passes();
  CHECK(outbox.make() == 1);
  const json message = outbox.payload();
  CHECK(message["count"] == 10);
  CHECK(message["summary"] == "10 failures of 2 causes");
  CHECK(message["causes"][0]["count"] == 9);
  CHECK(message["causes"][0]["examples"].size() == 5);
}

TEST_CASE("what the worker writes is told with names, sentence, and whether a person is needed") {
  Outbox outbox;
  outbox.submit();
  const auto claim = outbox.claim_one();
  outbox.sql.run("UPDATE csrq.request SET names = '{a.example,b.example}'");
  REQUIRE(
      store::record_failure(outbox.database, claim.fence, some_failure(FailureClass::permanent), schedule));
  REQUIRE(outbox.make() == 1);
  const json cause = outbox.payload()["causes"][0];
  CHECK(cause["class"] == "permanent");
  CHECK(cause["need_a_person"] == 1);
  CHECK(cause["examples"][0]["names"] == json({"a.example", "b.example"}));
  CHECK(cause["examples"][0]["detail"] == "no such name");
}

TEST_CASE("a row that kills its workers is told as such; certificates, retries and waits are no failures") {
  Outbox outbox;
  outbox.submit();
  for (int i = 0; i < 5; ++i) {
    outbox.claim_one();
    outbox.worker_dies();
    store::rescue(outbox.database);
    outbox.sql.run("UPDATE csrq.worker SET heartbeat_at = now()");
  }
  REQUIRE(outbox.make() == 1);
  CHECK(outbox.payload()["causes"][0]["code"] == "rescued_too_often");
  outbox.sql.run(
      "INSERT INTO csrq.event (request_id, customer, what) SELECT 1, 'acme', unnest(ARRAY['issued', 'retry', "
      "'put_off', 'claimed'])");
  CHECK(outbox.make() == 0);
  CHECK(outbox.count("failure_digest WHERE count > 0") == "0");
}

TEST_CASE("a customer with addresses of its own is told of its failures only, by its channels only") {
  Outbox outbox;
  outbox.sql.run(
      "INSERT INTO csrq.customer (name, notify_email, notify_webhook) VALUES ('acme', '{ops@acme.example}', "
      "NULL), ('hook', NULL, 'https://hook.example/csrq'), ('plain', NULL, NULL)");
  for (const char* customer : {"acme", "hook", "plain"}) outbox.failures(2, "dns", customer);
  CHECK(outbox.make() == 3);
  std::string told;
  for (const auto& delivery : outbox.claim()) {
    told += delivery.recipient + "/" + delivery.channel + " ";
    const json payload = json::parse(delivery.payload);
    for (const json& example : payload["causes"][0]["examples"])
      CHECK(example["customer"] == (delivery.recipient.empty() ? "plain" : delivery.recipient));
    if (delivery.recipient == "acme") CHECK(delivery.email == Texts{"ops@acme.example"});
    if (delivery.recipient == "hook") CHECK(delivery.webhook == "https://hook.example/csrq");
  }
  CHECK(told == "/webhook acme/mail hook/webhook ");
}

TEST_CASE("where the means for a customer's channel are missing, the default recipient is told") {
  Outbox outbox;
  outbox.rules.can = {"webhook"};
  outbox.sql.run("INSERT INTO csrq.customer (name, notify_email) VALUES ('acme', '{ops@acme.example}')");
  outbox.failures(1, "dns");
  outbox.make();
  REQUIRE(outbox.claim().size() == 1);
  CHECK(outbox.payload()["customer"].is_null());
}

TEST_CASE("without any channel a message is made all the same, for whoever listens or looks") {
  Outbox outbox;
  outbox.rules.can.clear();
  outbox.rules.default_channels.clear();
  outbox.failures(1, "dns");
  CHECK(outbox.make() == 1);
  CHECK(outbox.claim().empty());
  CHECK(outbox.sql.value("SELECT state FROM csrq.notifications") == "no channel");
}

// libpqxx 6 has only this receiver, which 7.10 calls deprecated.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
TEST_CASE("whoever listens to csrq_notification gets the number of each message") {
  Outbox outbox;
  struct Listener : pqxx::notification_receiver {
    using notification_receiver::notification_receiver;
    void operator()(const std::string& payload, int) override { heard = payload; }
    std::string heard{};
  };
  pqxx::connection connection(outbox.test.url());
  Listener listener(connection, "csrq_notification");
  outbox.failures(1, "dns");
  outbox.make();
  connection.await_notification(30, 0);
  CHECK(listener.heard == outbox.sql.value("SELECT id FROM csrq.notification"));
}
#pragma GCC diagnostic pop

TEST_CASE("notifiers of several workers count every failure once, while failures go on") {
  Outbox outbox;
  constexpr int transactions = 60;
  std::atomic<bool> over{false};
  std::vector<std::thread> notifiers;
  notifiers.reserve(2);
  for (int i = 0; i < 2; ++i)
    notifiers.emplace_back([&] {
      store::Database database({.url = outbox.test.url()});
      while (!over)
        store::make_notifications(database, {.can = {}, .default_channels = {}, .digest = 1ms, .soon = {}});
    });
  std::vector<std::thread> workers;
  workers.reserve(2);
  for (int i = 0; i < 2; ++i)
    workers.emplace_back([&] {
      Sql sql(outbox.test.url());
      for (int n = 0; n < transactions; ++n)
        sql.run(
            "INSERT INTO csrq.event (request_id, customer, what) VALUES (1, 'acme', 'failed'), (2, 'acme', "
            "'failed')");
    });
  for (auto& worker : workers) worker.join();
  over = true;
  for (auto& notifier : notifiers) notifier.join();
  outbox.make();
  outbox.sql.run("UPDATE csrq.failure_digest SET due_at = now() WHERE count > 0");
  outbox.make();
  CHECK(outbox.sql.value("SELECT sum(count) FROM csrq.notification") == std::to_string(2 * 2 * transactions));
}

TEST_CASE("of many recipients those that have waited longest are told first, the default one before them") {
  Outbox outbox;
  for (const char* customer : {"a", "b", "c"}) {
    outbox.sql.run(std::string("INSERT INTO csrq.customer (name, notify_webhook) VALUES ('") + customer +
                   "', 'https://hook.example/')");
    outbox.failures(1, "dns", customer);
  }
  outbox.failures(1, "dns", "plain");
  outbox.make();
  outbox.sql.run(
      "UPDATE csrq.notification_delivery SET next_attempt_at = now() - CASE recipient WHEN 'c' THEN interval "
      "'3 min' WHEN 'b' THEN interval '2 min' ELSE interval '1 min' END");
  std::string told;
  for (int claim = 0; claim < 4; ++claim)
    for (const auto& delivery : store::claim_deliveries(outbox.database, outbox.rules.can, 1, 2min))
      told += "<" + delivery.recipient + ">";
  CHECK(told == "<><c><b><a>");
}

TEST_CASE("a message is sent by one worker at a time, and by the next one if that one dies") {
  Outbox outbox;
  outbox.failures(1, "dns");
  outbox.make();
  const auto first = outbox.claim();
  REQUIRE(first.size() == 1);
  store::Database other({.url = outbox.test.url()});
  CHECK(store::claim_deliveries(other, outbox.rules.can, 100, 2min).empty());
  outbox.sql.run("UPDATE csrq.notification_delivery SET next_attempt_at = now()");
  const auto second = store::claim_deliveries(other, outbox.rules.can, 100, 2min);
  REQUIRE(second.size() == 1);
  CHECK(second[0].payload == first[0].payload);
  store::delivery_done(outbox.database, first[0], "too late to say", false);
  CHECK(outbox.delivery("last_error", first[0].notification).empty());
  store::delivery_done(other, second[0], {}, false);
  CHECK(outbox.sql.value("SELECT state FROM csrq.notifications") == "delivered");
}

TEST_CASE(
    "a message that is not accepted is sent again with growing pauses, given up after three days, and "
    "shown") {
  Outbox outbox;
  outbox.failures(1, "dns");
  outbox.make();
  for (const char* wait : {"1 minute", "10 minutes", "1 hour", "6 hours", "6 hours"}) {
    CAPTURE(wait);
    const auto due = outbox.claim();
    REQUIRE(due.size() == 1);
    CHECK_FALSE(store::delivery_done(outbox.database, due[0], "HTTP 500", false));
    CHECK(outbox.claim().empty());
    CHECK(outbox.delivery("next_attempt_at - now() BETWEEN interval '" + std::string(wait) +
                              "' - interval '10 s' AND interval '" + wait + "'",
                          due[0].notification) == "t");
    outbox.sql.run("UPDATE csrq.notification_delivery SET next_attempt_at = now()");
  }
  outbox.sql.run("UPDATE csrq.notification SET created_at = now() - interval '70 hours'");
  const auto last = outbox.claim();
  REQUIRE(last.size() == 1);
  CHECK(store::delivery_done(outbox.database, last[0], "HTTP 500", false));
  CHECK(outbox.claim().empty());
  const auto lines = store::undelivered(outbox.database, {});
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].state == "given up");
  CHECK(lines[0].last_error == "HTTP 500");
  CHECK(lines[0].attempts == 6);
}

TEST_CASE("a dead recipient's messages wait together, other recipients' do not") {
  Outbox outbox;
  outbox.sql.run("INSERT INTO csrq.customer (name, notify_webhook) VALUES ('dead', 'https://dead.example/')");
  for (int i = 0; i < 3; ++i) {
    outbox.failures(1, "dns", "dead");
    outbox.failures(1, "dns", "acme");
    outbox.make();
    outbox.digest_interval_passes();
  }
  REQUIRE(outbox.count("notification") == "6");
  int attempts_at_dead = 0;
  int delivered = 0;
  for (auto due = outbox.claim(); !due.empty(); due = outbox.claim())
    for (const auto& delivery : due) {
      const bool dead = delivery.recipient == "dead";
      ++(dead ? attempts_at_dead : delivered);
      store::delivery_done(outbox.database, delivery, dead ? "no answer" : "", false);
    }
  CHECK(attempts_at_dead == 1);
  CHECK(delivered == 3);
}

TEST_CASE("an alarm is raised once however many see it, told once, and told once when it is over") {
  Outbox outbox;
  const store::Alarm alarm = ca_is_out("https://ca.example/dir");
  CHECK(store::raise_alarm(outbox.database, alarm));
  CHECK_FALSE(store::raise_alarm(outbox.database, alarm));
  outbox.sql.run("UPDATE csrq.alarm SET seen_at = now() - interval '5 minutes'");
  CHECK_FALSE(store::raise_alarm(outbox.database, alarm));
  CHECK(outbox.sql.value("SELECT now() - seen_at < interval '1 minute' FROM csrq.alarm") == "t");
  CHECK(outbox.count("alarms") == "1");
  CHECK(outbox.make() == 1);
  CHECK(outbox.make() == 0);
  CHECK(outbox.payload()["summary"] == "alarm: the CA is out");
  CHECK_FALSE(store::clear_alarm(outbox.database, alarm.key, 90s));  // somebody has just seen it
  CHECK(store::clear_alarm(outbox.database, alarm.key));
  CHECK_FALSE(store::clear_alarm(outbox.database, alarm.key));
  CHECK(outbox.make() == 1);
  CHECK(outbox.make() == 0);
  CHECK(outbox.payload()["summary"] == "over: the CA is out");
  CHECK(outbox.count("alarms") == "0");
  CHECK(store::raise_alarm(outbox.database, alarm));
}

TEST_CASE("an alarm's key tells what it is about") {
  Outbox outbox;
  const std::string directory = "https://ca.example/dir";
  using Kind = store::AlarmKind;
  const std::vector<std::pair<store::AlarmKey, std::string>> keys{
      {{Kind::account, directory, "acme"}, "account:https://ca.example/dir acme"},
      {{Kind::account, directory, ""}, "account:https://ca.example/dir "},  // everybody's
      {{Kind::ca, directory, std::nullopt}, "ca:https://ca.example/dir"},
      {{Kind::name, directory, "a.example"}, "name:https://ca.example/dir a.example"},
      {{Kind::orders, directory, std::nullopt}, "orders:https://ca.example/dir"},
      {{Kind::sealing_key, {}, "host"}, "sealing_key:host"},
  };
  for (const auto& [key, text] : keys) {
    CAPTURE(text);
    store::raise_alarm(outbox.database, {.key = key, .code = "c", .detail = "d"});
    const auto open = store::open_alarms(outbox.database);
    REQUIRE(open.size() == 1);
    CHECK(open[0].key == text);
    CHECK(open[0].kind == to_string(key.kind));
    CHECK(store::clear_alarm(outbox.database, key));
  }
}

TEST_CASE("an alarm that is over before anybody was told is not told") {
  Outbox outbox;
  store::raise_alarm(outbox.database, ca_is_out("x"));
  store::clear_alarm(outbox.database, ca_is_out("x").key);
  CHECK(outbox.make() == 0);
}

TEST_CASE("thousands of alarms of one code are one message, and those that follow wait for the next digest") {
  Outbox outbox;
  outbox.sql.run(
      "SELECT csrq.raise_alarm('account:' || n, 'userActionRequired', 'account ' || n) FROM "
      "generate_series(1, 1000) n");
  CHECK(outbox.make() == 1);
  CHECK(outbox.payload()["raised_count"] == 1000);
  CHECK(outbox.payload()["raised"].size() == 20);
  outbox.sql.run(
      "SELECT csrq.raise_alarm('account:' || n, 'userActionRequired', 'account ' || n) FROM "
      "generate_series(1001, 1010) n");
  store::raise_alarm(outbox.database, ca_is_out("x"));
  CHECK(outbox.make() == 1);
  CHECK(outbox.payload()["raised_count"] == 1);
  outbox.sql.run("UPDATE csrq.alarm SET raise_told_at = raise_told_at - interval '16 minutes'");
  CHECK(outbox.make() == 1);
  CHECK(outbox.payload()["raised_count"] == 10);
}

TEST_CASE("an account's alarm ends with the account's next certificate, a name's with the row's") {
  Outbox outbox;
  outbox.submit();
  const std::string directory = some_owner().directory;
  for (const std::string& owner : {some_owner().owner, std::string("another")})
    store::raise_alarm(
        outbox.database,
        {.key = {store::AlarmKind::account, directory, owner}, .code = "account_deactivated", .detail = "d"});
  for (const int request : {1, 2})
    store::raise_alarm(outbox.database, {.key = {store::AlarmKind::name, directory, std::to_string(request)},
                                         .code = "name_paused",
                                         .detail = "d",
                                         .request = request});
  outbox.make();
  CHECK(outbox.count("alarms") == "4");
  outbox.issue_next("01");
  outbox.make();
  CHECK(outbox.sql.value("SELECT string_agg(key, ' ' ORDER BY key) FROM csrq.alarms") ==
        "account:" + directory + " another name:" + directory + " 2");
}

TEST_CASE("a renewal that fails is warned of once at each threshold, all rows in one message") {
  Renewals renewals;
  renewals.late("29 days", 2);
  renewals.late("28 days", 3);
  CHECK(renewals.look() == 1);
  json message = renewals.payload("kind = 'expiry'");
  CHECK(message["count"] == 2);
  CHECK(message["certificates"][0]["days_left"] == 27);
  CHECK(message["certificates"][0]["failures"] == 3);
  CHECK(renewals.look() == 0);
  for (const char* step : {"22 days", "4 days", "2 days", "1 day"}) {
    CAPTURE(step);
    renewals.time_passes(step);
    CHECK(renewals.look() == 1);
    CHECK(renewals.look() == 0);
  }
  CHECK(renewals.sql.value(
            "SELECT string_agg(level::text, ' ' ORDER BY request_id) FROM csrq.expiry_warning") == "5 5");
}

TEST_CASE(
    "a renewal that only waits is warned of when it should long be done; one that is on its way is not") {
  Renewals renewals;
  renewals.late("29 days", 0);
  CHECK(renewals.look() == 0);
  renewals.time_passes("23 days");
  CHECK(renewals.look() == 1);
  const auto fresh = renewals.late("2 days", 5);
  renewals.sql.run("UPDATE csrq.job SET created_at = now() WHERE request_id = " + number_text(fresh));
  CHECK(renewals.look() == 0);
}

TEST_CASE(
    "a failing renewal is warned of with a third, a week, three days, a day and nothing left, as far as its "
    "lifetime knows them") {
  struct Expected {
    std::string lifetime;
    std::vector<std::string> distances;
  };
  const std::vector<Expected> all{{"90 days", {"30 days", "7 days", "3 days", "1 day", "0 hours"}},
                                  {"45 days", {"15 days", "7 days", "3 days", "1 day", "0 hours"}},
                                  {"160 hours", {"53 hours 20 minutes", "1 day", "0 hours"}},
                                  {"24 hours", {"8 hours", "0 hours"}}};
  for (const Expected& expected : all) {
    CAPTURE(expected.lifetime);
    Renewals renewals;
    renewals.late("29 days", 1);
    const auto left_is = [&](const std::string& left) {
      const std::string end = "now() + interval '" + left + "'";
      renewals.sql.run("UPDATE csrq.request SET not_after = " + end + ", not_before = " + end +
                       " - interval '" + expected.lifetime + "'");
      renewals.sql.run("UPDATE csrq.expiry_warning SET not_after = (SELECT not_after FROM csrq.request)");
    };
    for (const std::string& distance : expected.distances) {
      CAPTURE(distance);
      left_is(distance + " 60 seconds");
      CHECK(renewals.look() == 0);
      left_is(distance + " -60 seconds");
      CHECK(renewals.look() == 1);
      CHECK(renewals.look() == 0);
    }
  }
}

TEST_CASE("a renewal that is due and does not even get into the queue is warned of from the week on") {
  Renewals renewals;
  renewals.submit();
  const auto id = renewals.issue_next("0123");
  const auto left_is = [&](const std::string& left) {
    renewals.sql.run("UPDATE csrq.request SET not_after = now() + interval '" + left +
                     "', not_before = now() + interval '" + left + "' - interval '90 days'");
  };
  renewals.sql.run("UPDATE csrq.renewal SET renew_at = now() - interval '2 hours'");
  left_is("8 days");
  CHECK(renewals.look() == 0);
  left_is("6 days");
  CHECK(renewals.look() == 1);
  CHECK(renewals.payload("kind = 'expiry'")["certificates"][0]["request"] == store::number(id));
  renewals.sql.run("SELECT csrq.suspend('acme')");
  left_is("2 days");
  CHECK(renewals.look() == 0);
}

TEST_CASE("a renewed certificate is warned of anew when its own time comes") {
  Renewals renewals;
  const auto id = renewals.late("2 days", 1);
  CHECK(renewals.look() == 1);
  renewals.sql.run(
      "UPDATE csrq.request SET not_before = now() - interval '65 days', not_after = now() + interval '25 "
      "days' WHERE id = " +
      number_text(id));
  CHECK(renewals.look() == 1);
  CHECK(renewals.sql.value("SELECT level FROM csrq.expiry_warning") == "1");
}

TEST_CASE("a suspended customer's renewals are not warned of") {
  Renewals renewals;
  renewals.late("2 days", 1);
  renewals.sql.run("SELECT csrq.suspend('acme')");
  CHECK(renewals.look() == 0);
}

TEST_CASE("rows that are only put off are told of after days, once at each distance, by cause") {
  Outbox outbox;
  const auto look = [&](const std::string& days) {
    outbox.sql.run("UPDATE csrq.job SET created_at = now() - interval '" + days +
                   " days 1 minute' WHERE customer = 'acme'");
    outbox.sql.run("UPDATE csrq.notifier SET waiting_checked_at = now() - interval '25 hours'");
    return outbox.make();
  };
  for (int row = 0; row < 3; ++row) outbox.submit();
  const auto claim = outbox.claim_one();
  Failure why = some_failure(FailureClass::limited);
  why.code = "rate_limit";
  why.detail = "used up";
  REQUIRE(store::put_off(outbox.database, claim.fence, 1h, &why));
  CHECK(look("2") == 0);
  CHECK(look("3") == 1);
  const json message = outbox.payload("kind = 'waiting'");
  CHECK(message["count"] == 3);
  CHECK(message["summary"].get<std::string>().starts_with(
      "3 requests have been waiting for days without a failure"));
  REQUIRE(message["causes"].size() == 2);
  CHECK(message["causes"][0]["code"] == "not_started");
  CHECK(message["causes"][1]["code"] == "rate_limit");
  CHECK(message["causes"][1]["examples"][0]["request"] == store::number(claim.fence.request));
  CHECK(message["causes"][1]["examples"][0]["detail"] == "used up");
  CHECK(look("5") == 0);
  CHECK(look("7") == 1);
}

TEST_CASE("rows that fail, are parked, or were to wait are not told of as waiting") {
  Outbox outbox;
  for (int row = 0; row < 3; ++row) outbox.submit();
  outbox.sql.run("UPDATE csrq.job SET created_at = now() - interval '3 days 1 minute'");
  outbox.sql.run("UPDATE csrq.job SET failures = 1 WHERE request_id = 1");
  outbox.sql.run(
      "UPDATE csrq.request SET error = '{\"class\": \"validation\", \"code\": \"dns\"}' WHERE id = 1");
  outbox.sql.run("UPDATE csrq.job SET status = 'parked', parked_because = 'failed' WHERE request_id = 2");
  outbox.sql.run("UPDATE csrq.request SET run_after = now() - interval '1 day' WHERE id = 3");
  outbox.sql.run("UPDATE csrq.notifier SET waiting_checked_at = now() - interval '25 hours'");
  CHECK(outbox.make() == 0);
}

TEST_CASE("a row that is to run at the end of all days silences nobody") {
  Outbox outbox;
  outbox.submit();
  outbox.sql.run("UPDATE csrq.request SET run_after = '294276-12-31'");
  outbox.sql.run("UPDATE csrq.job SET created_at = now() - interval '4 days'");
  outbox.failures(1, "dns");
  CHECK(outbox.make() == 1);
}

TEST_CASE(
    "rows that only wait are looked at once a day; after a pause of the workers those of the pause are "
    "told") {
  Outbox outbox;
  outbox.submit();
  CHECK(outbox.make() == 0);
  outbox.sql.run("UPDATE csrq.job SET created_at = now() - interval '4 days'");
  CHECK(outbox.make() == 0);
  outbox.sql.run("UPDATE csrq.notifier SET waiting_checked_at = now() - interval '2 days'");
  CHECK(outbox.make() == 1);
}

TEST_CASE("a database restored into a younger cluster tells of what fails from then on") {
  Outbox outbox;
  outbox.sql.run("UPDATE csrq.notifier SET cursor = '900000000:900000000:'");
  outbox.make();
  outbox.failures(1, "dns");
  CHECK(outbox.make() == 1);
}

TEST_CASE("a customer's addresses are checked when they are written") {
  Outbox outbox;
  outbox.submit();
  const auto refused = [&](const std::string& assignment) {
    return !outbox.sql.refusal("UPDATE csrq.customer SET " + assignment).empty();
  };
  CHECK_FALSE(refused(
      "notify_webhook = 'https://hooks.example:8443/a?b=c', notify_email = '{a@b.example,c@d.example}'"));
  CHECK_FALSE(refused("notify_webhook = 'http://127.0.0.1:80/'"));
  for (const char* url :
       {"http://hooks.example/", "https://u:p@hooks.example/", "https://h.example/a b", "file:///etc/passwd",
        "http://127.0.0.1@evil.example/", "http://localhost.evil.example/"}) {
    CAPTURE(url);
    CHECK(refused("notify_webhook = '" + std::string(url) + "'"));
  }
  const std::string long_local = "{" + std::string(65, 'a') + "@b.example}";
  const std::string long_domain = "{a@" + std::string(253, 'b') + "}";
  for (const std::string& address : std::initializer_list<std::string>{
           "{}", "{ops}", "{NULL}", "{\"a@b, c@d\"}", "{\"a@b\\nBcc: c@d\"}", "{\"a@b c@d\"}", "{\"a@b \"}",
           "{a@b,\"\"}", "{a@.b}", "{a@-b}", long_local, long_domain}) {
    CAPTURE(address);
    CHECK(refused("notify_email = '" + address + "'"));
  }
}

TEST_CASE("only an admin says where a customer's messages go; a worker's login does the notifier's work") {
  Outbox outbox;
  outbox.submit();
  const auto login = [&](const std::string& name, const std::string& role) {
    const std::string url = outbox.test.url_as(name);
    outbox.sql.run("GRANT " + role + " TO " + name);
    return url;
  };
  const std::string statement = "UPDATE csrq.customer SET notify_webhook = 'https://hooks.example/'";
  for (const std::string role : {"csrq_app", "csrq_worker", "csrq_dba"})
    CHECK_FALSE(Sql(login("test_" + role, role)).refusal(statement).empty());
  CHECK(Sql(login("test_csrq_admin", "csrq_admin")).refusal(statement).empty());
  CHECK_FALSE(Sql(outbox.test.url_as("test_csrq_app")).refusal("SELECT FROM csrq.notification").empty());
  store::Database worker({.url = outbox.test.url_as("test_csrq_worker")});
  outbox.failures(1, "dns");
  CHECK(store::make_notifications(worker, outbox.rules) == 1);
  const auto due = store::claim_deliveries(worker, outbox.rules.can, 1, 2min);
  REQUIRE(due.size() == 1);
  store::delivery_done(worker, due[0], {}, false);
  CHECK(store::raise_alarm(worker, ca_is_out("x")));
  CHECK(store::open_alarms(worker).size() == 1);
  store::Database reader({.url = login("test_csrq_dba", "csrq_dba")});
  CHECK(store::undelivered(reader, {}).empty());
}

TEST_CASE("old messages and alarms are pruned, undelivered ones are not") {
  Outbox outbox;
  for (const char* code : {"dns", "caa"}) {
    outbox.failures(1, code);
    outbox.make();
  }
  store::delivery_done(outbox.database, outbox.claim().at(0), {}, false);
  store::raise_alarm(outbox.database, ca_is_out("x"));
  store::clear_alarm(outbox.database, ca_is_out("x").key);
  outbox.make();
  outbox.sql.run("UPDATE csrq.notification SET created_at = now() - interval '100 days'");
  outbox.sql.run("UPDATE csrq.alarm SET cleared_at = now() - interval '100 days'");
  outbox.sql.run("SELECT csrq.prune('90 days')");
  CHECK(outbox.count("notification") == "1");
  CHECK(outbox.count("alarm") == "0");
}
