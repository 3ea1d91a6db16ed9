#include "notify/channels.hpp"

#include <fmt/format.h>

#include "base/encoding.hpp"
#include "base/error.hpp"
#include "crypto/digest.hpp"
#include "http/url.hpp"
#include "notify/mail_text.hpp"

namespace csrq::notify {
namespace {

using namespace std::chrono_literals;

constexpr Duration longest_connecting = 5s;
constexpr Duration longest_request = 10s;
constexpr std::size_t shortest_key = 16;

Secret read_signing_key(const std::string& file) {
  if (file.empty()) return {};
  Secret key = read_secret_file(file);
  if (key.reveal().size() < shortest_key)
    throw UsageError(
        fmt::format("{} is too short for a key: it needs {} octets or more; `csrq keygen FILE` makes one",
                    file, shortest_key));
  return key;
}

/// Two databases may have a message of the same number.
std::string message_id(const store::Delivery& delivery) {
  constexpr std::size_t enough_digits = 16;
  return fmt::format("csrq.{}.{}", delivery.notification,
                     hex(crypto::sha256(delivery.payload)).substr(0, enough_digits));
}

}  // namespace

std::string webhook_signature(std::string_view key, Time at, std::string_view body) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(at).time_since_epoch().count();
  const std::string signed_text = fmt::format("{}.{}", seconds, body);
  return fmt::format("t={},v1={}", seconds, hex(crypto::hmac_sha256(key, signed_text)));
}

Secret customer_webhook_key(std::string_view key, const std::string& customer) {
  return Secret(hex(crypto::hmac_sha256(key, "csrq webhook\n" + customer)));
}

Channels::Channels(const NotifyConfig& config)
    : config_(config),
      hmac_key_(read_signing_key(config.webhook.hmac_key_file)),
      mail_server_{.url = config.smtp.url,
                   .user = config.smtp.user,
                   .password = config.smtp.password_file.empty()
                                   ? Secret()
                                   : read_secret_file(config.smtp.password_file),
                   .ca_file = config.smtp.ca_file,
                   .total_timeout = longest_request},
      client_({.ca_file = config.webhook.ca_file,
               .connections = 2,
               .connect_timeout = longest_connecting,
               .total_timeout = longest_request,
               .plain_http = true,  // to loopback only: post() looks
               .head_only = true}) {}

std::vector<std::string> Channels::can() const {
  std::vector<std::string> channels;
  if (!hmac_key_.empty()) channels.emplace_back("webhook");
  if (!config_.smtp.url.empty()) channels.emplace_back("mail");
  return channels;
}

std::vector<std::string> Channels::default_channels() const {
  std::vector<std::string> channels;
  if (!config_.webhook.url.empty()) channels.emplace_back("webhook");
  if (!config_.smtp.to.empty()) channels.emplace_back("mail");
  return channels;
}

store::NotificationRules Channels::rules(Duration soon) const {
  return {.can = can(), .default_channels = default_channels(), .digest = config_.digest, .soon = soon};
}

Secret Channels::signing_key(const std::string& customer) const {
  if (hmac_key_.empty()) throw UsageError("notify.webhook.hmac_key_file is not set: webhooks have no key");
  return customer.empty() ? Secret(std::string(hmac_key_.reveal()))
                          : customer_webhook_key(hmac_key_.reveal(), customer);
}

void Channels::send(const store::Delivery& delivery, const std::function<bool()>& stopped) {
  if (delivery.channel == "webhook") return post(delivery);
  mail(delivery, stopped);
}

void Channels::post(const store::Delivery& delivery) {
  const std::string& url = delivery.recipient.empty() ? config_.webhook.url : delivery.webhook;
  if (url.empty()) throw UsageError("the recipient has no webhook any more");
  if (!http::is_private_web_url(url)) throw UsageError("the webhook is no https URL without a user name");
  const Secret key = signing_key(delivery.recipient);
  const http::Response response = client_.send({
      .method = "POST",
      .url = url,
      .headers = {{"content-type", "application/json"},
                  {"csrq-notification-id", std::to_string(delivery.notification)},
                  {"csrq-notification-kind", delivery.kind},
                  {"csrq-signature", webhook_signature(key.reveal(), now(), delivery.payload)}},
      .body = delivery.payload,
  });
  if (response.status < 200 || response.status > 299)
    fail(FailureClass::transient, ErrorCode::webhook,
         fmt::format("{} answered with HTTP {}{}", http::host_of_url(url), response.status,
                     response.status >= 300 && response.status < 400 ? "; redirects are not followed" : ""));
}

void Channels::mail(const store::Delivery& delivery, const std::function<bool()>& stopped) const {
  const std::vector<std::string>& to = delivery.recipient.empty() ? config_.smtp.to : delivery.email;
  if (to.empty()) throw UsageError("the recipient has no mail address any more");
  MailText text = mail_text(delivery.payload);
  http::send_mail(mail_server_,
                  {.from = config_.smtp.from,
                   .to = to,
                   .subject = std::move(text.subject),
                   .body = std::move(text.body),
                   .message_id = message_id(delivery),
                   .date = now()},
                  stopped);
}

}  // namespace csrq::notify
