#include <doctest/doctest.h>

#include "base/encoding.hpp"
#include "base/error.hpp"
#include "crypto/digest.hpp"
#include "http/mail.hpp"
#include "notify/channels.hpp"
#include "notify/mail_text.hpp"

using namespace csrq;

namespace {

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

http::Mail some_mail() {
  return {.from = "csrq@example.net",
          .to = {"ops@example.net", "night@example.net"},
          .subject = "csrq: 2 failures",
          .body = "one\ntwo\n",
          .message_id = "csrq.7",
          .date = parse_rfc3339("2026-11-25T12:00:00Z").value()};
}

}  // namespace

TEST_CASE("HMAC-SHA256 as RFC 4231 has it") {
  CHECK(hex(crypto::hmac_sha256("Jefe", "what do ya want for nothing?")) ==
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

TEST_CASE("a webhook's signature covers time and body, and names its version") {
  const Time at = parse_rfc3339("2026-11-25T12:00:00Z").value();
  // printf '1795608000.{}' | openssl dgst -sha256 -hmac 0123456789abcdef
  CHECK(notify::webhook_signature("0123456789abcdef", at, "{}") ==
        "t=1795608000,v1=" + hex(crypto::hmac_sha256("0123456789abcdef", "1795608000.{}")));
  CHECK(notify::webhook_signature("k", at, "{}") != notify::webhook_signature("k", at, "{ }"));
  CHECK(notify::webhook_signature("k", at, "{}") !=
        notify::webhook_signature("k", at + std::chrono::seconds(1), "{}"));
}

TEST_CASE("each customer has a key of its own, and none is the configured one") {
  const auto key = [](const std::string& customer) {
    return std::string(notify::customer_webhook_key("0123456789abcdef", customer).reveal());
  };
  CHECK(key("acme") != key("other"));
  CHECK(key("acme") == key("acme"));
  CHECK(key("acme").size() == 64);
}

TEST_CASE("a mail address cannot smuggle in a header, a command or a second address") {
  for (const char* address : {"ops@example.net", "a.b+c@x.example", "root@localhost"})
    CHECK(http::is_mail_address(address));
  for (const char* address :
       {"", "ops", "@example.net", "ops@", "a b@example.net", "a@b,c@d", "<a@b>", "a@b\r\nBcc: c@d",
        "Ops <ops@example.net>", "a@b@c", "\"a\"@b", "ä@example.net"}) {
    CAPTURE(address);
    CHECK_FALSE(http::is_mail_address(address));
  }
  http::Mail mail = some_mail();
  mail.to.push_back("a@b\r\nBcc: c@d");
  CHECK_THROWS_AS(http::to_message(mail), UsageError);
}

TEST_CASE("a mail has all headers it needs, and lines that end as RFC 5322 wants") {
  const std::string message = http::to_message(some_mail());
  CHECK(has(message, "Date: Wed, 25 Nov 2026 12:00:00 +0000\r\n"));
  CHECK(has(message, "From: csrq@example.net\r\nTo: ops@example.net,\r\n night@example.net\r\n"));
  CHECK(has(message, "Subject: csrq: 2 failures\r\n"));
  CHECK(has(message, "Message-ID: <csrq.7@example.net>\r\n"));
  CHECK(has(message, "Auto-Submitted: auto-generated\r\n"));
  CHECK(has(message, "Content-Transfer-Encoding: 7bit\r\n\r\none\r\ntwo\r\n"));
  for (std::size_t i = 0; i < message.size(); ++i)
    if (message[i] == '\n') REQUIRE(message.at(i - 1) == '\r');
}

TEST_CASE("a subject in any language is encoded in words of at most 75 characters, each readable alone") {
  CHECK(http::encoded_header("plain") == "plain");
  CHECK(http::encoded_header("Müller") == "=?UTF-8?B?TcO8bGxlcg==?=");
  CHECK(http::encoded_header("a\r\nBcc: x@y") == "a  Bcc: x@y");
  CHECK(has(http::encoded_header("=?UTF-8?B?eA==?="), "=?UTF-8?B?PT9V"));
  std::string umlauts = "x";
  for (int i = 0; i < 100; ++i) umlauts += "ü";
  std::string decoded;
  const std::string encoded = http::encoded_header(umlauts) + "\r\n ";
  for (std::size_t start = 0; start < encoded.size();) {
    const std::size_t end = encoded.find("\r\n ", start);
    const std::string word = encoded.substr(start, end - start);
    CHECK(word.size() <= 75);
    const std::string part = from_base64(word.substr(10, word.size() - 12)).value();
    CHECK((static_cast<unsigned char>(part.front()) & 0xC0U) != 0x80U);
    decoded += part;
    start = end + 3;
  }
  CHECK(decoded == umlauts);
}

TEST_CASE("a body that is not plain ASCII goes as base64 in short lines") {
  http::Mail mail = some_mail();
  mail.body = "Müller\n";
  CHECK(has(http::to_message(mail), "Content-Transfer-Encoding: base64\r\n\r\nTcO8bGxlcg0K\r\n"));
  mail.body = std::string(2000, 'x');
  CHECK(has(http::to_message(mail), "Content-Transfer-Encoding: base64\r\n"));
}

TEST_CASE("a digest as mail has cause, count and examples, and hostile text stays on its line") {
  const auto text = notify::mail_text(
      R"json({"id":7,"kind":"digest","created_at":"2026-11-25T12:00:00Z","summary":"10000 failures: dns (validation)","count":10000,
          "causes":[{"class":"validation","code":"dns","count":10000,"need_a_person":0,"first_at":"a","last_at":"b",
          "examples":[{"request":1,"customer":"acme","names":["a.example"],"detail":"no such name\nFrom: forged"}]}],
          "causes_left_out":0})json");
  CHECK(text.subject == "csrq: 10000 failures: dns (validation)");
  CHECK(has(text.body, "dns (validation): 10000 from a to b\n"));
  CHECK(has(text.body, "  request 1 of acme, a.example: no such name From: forged\n"));
}

TEST_CASE("rows that only wait as mail") {
  const auto text = notify::mail_text(
      R"({"id": 1, "kind": "waiting", "created_at": "x", "summary": "2 requests have been waiting", "count": 2,
          "causes": [{"class": "limited", "code": "rate_limit", "count": 2, "need_a_person": 0, "first_at": "a", "last_at": "b",
                      "examples": [{"request": 7, "customer": "acme", "names": ["a.example"], "detail": "used up"}]}]})");
  CHECK(text.subject == "csrq: 2 requests have been waiting");
  CHECK(text.body.find("rate_limit (limited): 2 from a to b") != std::string::npos);
  CHECK(text.body.find("request 7 of acme, a.example: used up") != std::string::npos);
}

TEST_CASE("alarms and late renewals as mail") {
  const auto alarm = notify::mail_text(
      R"({"id":1,"kind":"alarm","summary":"alarm: the CA x is out","raised":[{"key":"ca:x","detail":"the CA x is out","raised_at":"t"}],
          "raised_count":1,"cleared":[],"cleared_count":0})");
  CHECK(has(alarm.body, "Raised: 1\n  since t: the CA x is out [ca:x]\n"));
  CHECK_FALSE(has(alarm.body, "Over:"));
  const auto expiry = notify::mail_text(
      R"({"id":1,"kind":"expiry","summary":"s","certificates":[{"request":3,"customer":"acme","names":null,"not_after":"t",
          "days_left":2,"failures":4,"code":"dns","detail":"no such name"}]})");
  CHECK(has(expiry.body, "  t ends (request 3 of acme, names not read yet), 4 failures: no such name\n"));
}
