#include <doctest/doctest.h>

#include "cli/cli_fixture.hpp"
#include "notify/channels.hpp"
#include "support/mail_sink.hpp"
#include "support/webhook_sink.hpp"

using namespace csrq;
using namespace csrq::test;

namespace {

struct Receivers {
  std::string notify() const {
    return "notify:\n  webhook: { url: \"" + webhook.url() +
           "\", hmac_key_file: sealing.key }\n  smtp: { url: \"" + mail.url() +
           "\", from: csrq@example.net, to: [ops@example.net] }\n";
  }
  WebhookSink webhook{};
  MailSink mail{};
};

}  // namespace

TEST_CASE("notify --test: a message through every channel, and whether each accepted it") {
  Receivers receivers;
  const Installation installation("https://127.0.0.1:1/dir", receivers.notify());
  const embedded::Outcome good = installation({"notify", "--test"});
  CHECK(good.output == "mail: accepted\nwebhook: accepted\n");
  CHECK(good.exit_code == 0);
  CHECK(receivers.webhook.posts().size() == 1);
  CHECK(receivers.mail.mails().size() == 1);
  CHECK(installation.json({"notify"})["undelivered"].empty());

  receivers.webhook.answer(404);
  const embedded::Outcome bad = installation({"notify", "--test"});
  CHECK(says(bad.output, "webhook: not accepted: 127.0.0.1 answered with HTTP 404"));
  CHECK(says(bad.output, "mail: accepted"));
  CHECK(bad.exit_code == 1);
  const auto shown = installation.json({"notify"});
  REQUIRE(shown["undelivered"].size() == 1);
  CHECK(shown["undelivered"][0]["state"] == "given up");
  CHECK(says(installation({"notify"}).output, "HTTP 404"));
}

TEST_CASE("notify --test --customer: the customer's channels, its key, and what is wrong without them") {
  Receivers receivers;
  WebhookSink own;
  const Installation installation("https://127.0.0.1:1/dir", receivers.notify());
  Sql sql(installation.test.url());
  sql.run("INSERT INTO csrq.customer (name, notify_webhook) VALUES ('acme', '" + own.url() +
          "'), ('plain', NULL)");
  CHECK(installation({"notify", "--test", "--customer", "acme"}).output == "webhook: accepted\n");
  CHECK(receivers.webhook.posts().empty());
  REQUIRE(own.posts().size() == 1);
  std::string key = installation({"notify", "--signing-key", "--customer", "acme"}).output;
  key.pop_back();
  const Time at{std::chrono::seconds(std::stoll(own.posts()[0].signature.substr(2)))};
  CHECK(own.posts()[0].signature == notify::webhook_signature(key, at, own.posts()[0].body));
  const embedded::Outcome plain = installation({"notify", "--test", "--customer", "plain"});
  CHECK(plain.exit_code == 2);
  CHECK(says(plain.output, "has no channel of its own"));
  CHECK(says(installation({"notify", "--test", "--customer", "nobody"}).output, "there is no customer"));
}

TEST_CASE("notify: nothing configured is said, and lists are empty at first") {
  const Installation installation;
  const embedded::Outcome outcome = installation({"notify", "--test"});
  CHECK(outcome.exit_code == 2);
  CHECK(says(outcome.output, "nobody is told by default"));
  CHECK(installation({"notify"}).output == "no open alarms\nno undelivered messages\n");
  CHECK(installation({"notify", "--signing-key"}).exit_code == 2);
}

TEST_CASE("work: a sealing key that cannot be read raises an alarm that other workers tell of") {
  const Installation installation;
  const auto key = installation.folder / "sealing.key";
  std::filesystem::permissions(key, std::filesystem::perms::others_read, std::filesystem::perm_options::add);
  CHECK(installation({"work"}).exit_code == 2);
  CHECK(says(installation({"notify"}).output, "sealing_key:"));
  std::filesystem::permissions(key, std::filesystem::perms::others_read,
                               std::filesystem::perm_options::remove);
  installation({"run", "--limit", "1"});
  CHECK(installation.json({"notify"})["alarms"].empty());
}
