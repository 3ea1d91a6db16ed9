#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/secret.hpp"
#include "base/time.hpp"

/// Mail over SMTP (RFC 5321, RFC 5322).
namespace csrq::http {

/// One address without a name, "ops@example.net", whose parts need no quotes. So nothing in it can end a
/// header or a command.
bool is_mail_address(std::string_view text);

struct Mail {
  std::string from{};
  std::vector<std::string> to{};
  std::string subject{};     ///< UTF-8; control characters become spaces
  std::string body{};        ///< UTF-8, lines end with "\n"
  std::string message_id{};  ///< left part of Message-ID: the same for each attempt to send the same mail
  Time date{};
};

/// RFC 2047: text for a header, folded where it has to be encoded.
std::string encoded_header(std::string_view text);

/// Headers and body as they go over the wire, lines end with "\r\n". Throws UsageError for an address that is
/// none.
std::string to_message(const Mail& mail);

struct MailServer {
  std::string url{};  ///< smtps://host:465, or smtp://host:587 with STARTTLS, which only loopback may lack
  std::string user{};
  Secret password{};
  std::string ca_file{};  ///< trust anchors beside the system's
  Duration total_timeout{std::chrono::seconds(30)};
};

/// Hands the mail over; returns when the server has accepted it for all addresses. Gives up soon after
/// `stopped` says so. Throws Error{transient, "mail"} naming host and cause, UsageError for a bad address or
/// `ca_file`.
void send_mail(const MailServer& server, const Mail& mail, const std::function<bool()>& stopped = {});

}  // namespace csrq::http
