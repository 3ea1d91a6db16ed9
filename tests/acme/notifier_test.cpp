#include "workers/notifier.hpp"

#include <doctest/doctest.h>

#include <fstream>

#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "config/config.hpp"
#include "support/issuing_fixture.hpp"
#include "support/mail_sink.hpp"
#include "support/webhook_sink.hpp"

using namespace csrq;
using namespace csrq::test;
using namespace std::chrono_literals;

namespace {

constexpr const char* hmac_key = "0123456789abcdef0123456789abcdef";

std::string secret_file(const std::string& secret) {
  static int counter = 0;
  const auto file = run_folder() / ("notify-secret-" + std::to_string(++counter));
  std::ofstream(file) << secret << "\n";
  std::filesystem::permissions(file, std::filesystem::perms::owner_read);
  return file.string();
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// The time that a signature names, if it is that of `body` under `key`.
bool is_signed(const WebhookSink::Post& post, std::string_view key) {
  const Time at{std::chrono::seconds(std::stoll(post.signature.substr(2)))};
  return post.signature == notify::webhook_signature(key, at, post.body) &&
         now() - at < std::chrono::minutes(5);
}

/// Rows at the stub, and notifiers that tell at once of what becomes of them.
struct Told : StubIssuing {
  Told() {
    config.notify.webhook.url = webhook.url();
    config.notify.webhook.hmac_key_file = secret_file(hmac_key);
  }
  void use_mail() {
    config.notify.smtp = {.url = mail.url(),
                          .from = "csrq@example.net",
                          .to = {"ops@example.net"},
                          .user = "csrq",
                          .password_file = secret_file("open sesame")};
  }
  workers::Notifier notifier() {
    return {config.notify, {.url = test.url()}, worker().cas, {.pause = 10ms, .soon = {}, .outage = {}}};
  }
  /// A row that fails for good, without a request to the CA.
  void submit_bad(const std::string& customer = "acme") {
    submit_row({.customer = customer, .csr = some_csr});
    run();
  }

  WebhookSink webhook{};
  MailSink mail{};
};

}  // namespace

TEST_CASE("notifier: a failure reaches the webhook, signed, and the mail server, once each") {
  Told told;
  told.use_mail();
  told.submit_bad();
  told.notifier().round();
  told.notifier().round();
  REQUIRE(told.webhook.posts().size() == 1);
  const auto post = told.webhook.posts().front();
  CHECK(post.path == "/hook");
  CHECK(is_signed(post, hmac_key));
  CHECK_FALSE(is_signed(post, "another key"));
  const auto payload = nlohmann::json::parse(post.body);
  CHECK(payload["id"].dump() == post.id);
  CHECK(payload["causes"][0]["code"] == "unreadable");
  REQUIRE(told.mail.mails().size() == 1);
  const auto mail = told.mail.mails().front();
  CHECK(mail.from == "csrq@example.net");
  CHECK(mail.to == std::vector<std::string>{"ops@example.net"});
  CHECK(mail.credentials == "AGNzcnEAb3BlbiBzZXNhbWU=");
  CHECK(has(mail.message, "Subject: csrq: 1 failure: unreadable (permanent)\r\n"));
  CHECK(has(mail.message, "request 1 of acme"));
  CHECK(told.sql.value("SELECT string_agg(DISTINCT state, ' ') FROM csrq.notifications") == "delivered");
}

TEST_CASE("notifier: a customer's webhook is signed with the customer's key") {
  Told told;
  WebhookSink hook;
  told.sql.run("INSERT INTO csrq.customer (name, notify_webhook) VALUES ('acme', '" + hook.url() + "')");
  told.submit_bad("acme");
  told.notifier().round();
  CHECK(told.webhook.posts().empty());
  REQUIRE(hook.posts().size() == 1);
  CHECK(is_signed(hook.posts()[0], notify::customer_webhook_key(hmac_key, "acme").reveal()));
  CHECK_FALSE(is_signed(hook.posts()[0], hmac_key));
}

TEST_CASE("notifier: rows are issued while the webhook refuses and the mail server is dead") {
  Told told;
  told.webhook.answer(500);
  told.config.notify.smtp = {
      .url = "smtp://127.0.0.1:1", .from = "csrq@example.net", .to = {"ops@example.net"}};
  told.submit_bad();
  workers::Notifier notifier(told.config.notify, {.url = told.test.url()}, told.worker().cas,
                             {.pause = 10ms, .soon = {}, .outage = {}});
  notifier.start();
  std::vector<store::RequestId> rows;
  rows.reserve(20);
  for (int i = 0; i < 20; ++i) rows.push_back(told.submit({"n" + std::to_string(i) + ".example"}));
  CHECK(told.run().issued == 20);
  for (const auto id : rows) CHECK(told.row(id).status == "issued");
  const auto attempted = [&] {
    return told.sql.value(
               "SELECT count(*) FROM csrq.notifications WHERE state = 'waiting' AND last_error IS NOT "
               "NULL") == "2";
  };
  while (!attempted()) std::this_thread::yield();
  CHECK(told.sql.value("SELECT last_error FROM csrq.notifications WHERE channel = 'webhook'") ==
        "127.0.0.1 answered with HTTP 500");
  CHECK(has(told.sql.value("SELECT last_error FROM csrq.notifications WHERE channel = 'mail'"),
            "no mail through 127.0.0.1"));
}

TEST_CASE("notifier: what was refused is sent again, the same text under a new signature") {
  Told told;
  told.webhook.answer(503);
  told.submit_bad();
  told.notifier().round();
  told.webhook.answer(200);
  told.sql.run("UPDATE csrq.notification_delivery SET next_attempt_at = now()");
  told.notifier().round();
  const auto posts = told.webhook.posts();
  REQUIRE(posts.size() == 2);
  CHECK(posts[0].body == posts[1].body);
  CHECK(posts[0].id == posts[1].id);
  CHECK(is_signed(posts[1], hmac_key));
}

TEST_CASE("notifier: any 2xx accepts a message, whatever body comes with it") {
  Told told;
  told.webhook.answer(200);
  told.webhook.answer_with_body(2'000'000);
  told.submit_bad();
  told.notifier().round();
  CHECK(told.sql.value("SELECT state FROM csrq.notifications") == "delivered");
}

TEST_CASE("notifier: a round ends in time however much is due, and the next one goes on") {
  Told told;
  constexpr int customers = 12;
  for (int n = 0; n < customers; ++n) {
    const std::string name = "c" + std::to_string(n);
    told.sql.run("INSERT INTO csrq.customer (name, notify_webhook) VALUES ('" + name + "', '" +
                 told.webhook.url() + "')");
    told.submit_row({.customer = name, .csr = some_csr});
  }
  told.run();
  const auto round = [&] {
    workers::Notifier(told.config.notify, {.url = told.test.url()}, told.worker().cas,
                      {.pause = 10ms, .soon = {}, .sending = {}, .outage = {}})
        .round();
  };
  round();
  CHECK(told.webhook.posts().size() == 8);
  round();
  CHECK(told.webhook.posts().size() == customers);
}

TEST_CASE("notifier: words of a CA that are no UTF-8 neither stop an alarm nor the messages") {
  Told told;
  auto& outage = told.worker().cas.find({}).outage;
  const auto now = cas::Outage::Clock::now();
  outage.failed(now - std::chrono::seconds(3), now - std::chrono::seconds(2), "text/\xff\xfehtml");
  outage.failed(now - std::chrono::seconds(1), now, "text/\xff\xfehtml");
  told.notifier().round();
  REQUIRE(told.webhook.posts().size() == 1);
  CHECK(has(told.webhook.posts()[0].body, "its rows wait: text/??html"));
}

TEST_CASE("notifier: messages go out while alarms cannot be written") {
  Told told;
  auto& outage = told.worker().cas.find({}).outage;
  const auto now = cas::Outage::Clock::now();
  outage.failed(now - std::chrono::seconds(3), now - std::chrono::seconds(2), "no route");
  outage.failed(now - std::chrono::seconds(1), now, "no route");
  told.sql.run("ALTER TABLE csrq.alarm ADD CHECK (code <> 'ca_out_of_reach')");
  told.sql.run("INSERT INTO csrq.event (request_id, customer, what) VALUES (1, 'acme', 'failed')");
  told.notifier().round();
  CHECK(told.webhook.posts().size() == 1);
}

TEST_CASE("notifier: a recipient that the mail server refuses is an error with the server's words") {
  Told told;
  told.use_mail();
  told.mail.refuse();
  told.submit_bad();
  told.notifier().round();
  CHECK(has(told.sql.value("SELECT last_error FROM csrq.notifications WHERE channel = 'mail'"), "550"));
  CHECK(told.mail.mails().empty());
}

TEST_CASE("notifier: a CA that stays out of reach is one alarm, whoever sees it, and over when it answers") {
  Told told;
  const auto& cas = told.worker().cas;
  auto& outage = cas.find({}).outage;
  const auto now = cas::Outage::Clock::now();
  outage.failed(now - std::chrono::seconds(3), now - std::chrono::seconds(2), "no route");
  outage.failed(now - std::chrono::seconds(1), now, "no route");
  for (int workers = 0; workers < 3; ++workers) told.notifier().round();
  REQUIRE(told.webhook.posts().size() == 1);
  CHECK(has(told.webhook.posts()[0].body, "the CA test is out of reach; its rows wait: no route"));
  outage.answered(cas::Outage::Clock::now());
  told.notifier().round();
  CHECK(told.count("alarms") == "1");  // another worker may have seen it just now
  told.sql.run("UPDATE csrq.alarm SET seen_at = seen_at - interval '2 minutes'");
  told.notifier().round();
  told.notifier().round();
  CHECK(told.count("alarms") == "0");
  REQUIRE(told.webhook.posts().size() == 2);
  CHECK(has(told.webhook.posts()[1].body, "over: the CA test"));
}

TEST_CASE(
    "notifier: an account that needs a person is one alarm for all its rows, over with its next "
    "certificate") {
  Told told;
  told.ca_config().terms_of_service_agreed = false;
  std::vector<store::RequestId> rows;
  rows.reserve(3);
  for (int i = 0; i < 3; ++i) rows.push_back(told.submit({"n" + std::to_string(i) + ".example"}));
  told.run();
  told.notifier().round();
  CHECK(told.sql.value("SELECT string_agg(code || ' ' || owner, ',') FROM csrq.alarms") ==
        "terms_not_agreed acme");
  std::string alarms;
  for (const auto& post : told.webhook.posts())
    if (has(post.body, R"("kind": "alarm")")) alarms += post.body;
  CHECK(has(alarms, R"("raised_count": 1)"));

  told.ca_config().terms_of_service_agreed = true;
  TestWorker mended(told.config, told.keyring);
  for (const auto id : rows) told.make_due(id);
  CHECK(mended.run().issued == 3);
  told.notifier().round();
  CHECK(told.count("alarms") == "0");
}

TEST_CASE("notifier: secrets are read when it is made, and refused if others may read them") {
  Told told;
  std::filesystem::permissions(told.config.notify.webhook.hmac_key_file, std::filesystem::perms::others_read,
                               std::filesystem::perm_options::add);
  CHECK_THROWS_AS(notify::Channels(told.config.notify), UsageError);
  told.config.notify.webhook.hmac_key_file = secret_file("short");
  CHECK_THROWS_AS(notify::Channels(told.config.notify), UsageError);
}
