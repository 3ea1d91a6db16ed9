#include "config/notify.hpp"

#include <fmt/format.h>

#include "config/sections.hpp"
#include "http/mail.hpp"
#include "http/url.hpp"

namespace csrq {
namespace {

using namespace std::chrono_literals;

constexpr auto longest_digest = std::chrono::hours(7 * 24);

void read_webhook(Section section, WebhookConfig& webhook, const std::string& file) {
  section.text("url", webhook.url);
  section.path("hmac_key_file", webhook.hmac_key_file, file);
  section.path("ca_file", webhook.ca_file, file);
  if (!webhook.url.empty() && !http::is_private_web_url(webhook.url))
    section.mistake("url", fmt::format("`{}` must be an https URL without a user name; http only to loopback",
                                       section.full_name("url")));
  if (!webhook.url.empty() && webhook.hmac_key_file.empty())
    section.mistake("hmac_key_file",
                    fmt::format("`{}` is missing: messages are signed (`csrq keygen FILE` makes such a key)",
                                section.full_name("hmac_key_file")));
  section.finish();
}

void check_addresses(Section& section, const char* key, const std::vector<std::string>& addresses) {
  for (const std::string& address : addresses)
    if (!http::is_mail_address(address))
      section.mistake(key, fmt::format("`{}` has `{}`; write a mail address alone, as in ops@example.net",
                                       section.full_name(key), address));
}

bool is_mail_server(const std::string& url) {
  return (url.starts_with("smtps://") || url.starts_with("smtp://")) && !http::host_of_url(url).empty();
}

void read_smtp(Section section, SmtpConfig& smtp, const std::string& file) {
  section.text("url", smtp.url);
  section.text("from", smtp.from);
  section.texts("to", smtp.to);
  section.text("user", smtp.user);
  section.path("password_file", smtp.password_file, file);
  section.path("ca_file", smtp.ca_file, file);
  if (section.has("url") && !is_mail_server(smtp.url))
    section.mistake("url", fmt::format("`{}` must be smtps://HOST:465, or smtp://HOST:587 for STARTTLS",
                                       section.full_name("url")));
  for (const char* key : {"from", "to", "user", "password_file", "ca_file"})
    if (section.has(key) && smtp.url.empty())
      section.mistake(key, fmt::format("`{}` is missing", section.full_name("url")));
  if (!smtp.url.empty() && smtp.from.empty())
    section.mistake("from", fmt::format("`{}` is missing: the sender's address", section.full_name("from")));
  check_addresses(section, "to", smtp.to);
  if (!smtp.from.empty()) check_addresses(section, "from", {smtp.from});
  if (smtp.user.empty() != smtp.password_file.empty())
    section.mistake("user", fmt::format("`{}` and `{}` go together", section.full_name("user"),
                                        section.full_name("password_file")));
  section.finish();
}

}  // namespace

void read_notify(Section section, NotifyConfig& notify, const std::string& file) {
  read_webhook(section.section("webhook"), notify.webhook, file);
  read_smtp(section.section("smtp"), notify.smtp, file);
  section.duration("digest", notify.digest, 1min, longest_digest);
  section.finish();
}

}  // namespace csrq
