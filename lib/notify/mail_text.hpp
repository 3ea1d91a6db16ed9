#pragma once

#include <string>

namespace csrq::notify {

/// A message as mail.
struct MailText {
  std::string subject{};
  std::string body{};  ///< UTF-8, lines end with "\n"
};

/// From the payload that webhooks get (docs/notifications.md). What came from CAs and apps stays on its line.
MailText mail_text(const std::string& payload);

}  // namespace csrq::notify
