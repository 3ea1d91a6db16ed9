#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/secret.hpp"
#include "base/time.hpp"
#include "config/notify.hpp"
#include "http/client.hpp"
#include "http/mail.hpp"
#include "store/notifications.hpp"

namespace csrq::notify {

/// "t=UNIX,v1=HEX": HMAC-SHA256 of "UNIX.BODY", for the header Csrq-Signature.
std::string webhook_signature(std::string_view key, Time at, std::string_view body);

/// A customer's own key, so that its holder can forge no other's messages: hexadecimal HMAC-SHA256 of
/// "csrq webhook\nCUSTOMER" under the configured key.
Secret customer_webhook_key(std::string_view key, const std::string& customer);

/// The ways to people that a configuration opens. Thread-safe.
class Channels {
 public:
  /// Reads the secrets. Throws UsageError.
  explicit Channels(const NotifyConfig& config);

  /// What this process has the means for, and which of them the default recipient has.
  std::vector<std::string> can() const;
  std::vector<std::string> default_channels() const;
  store::NotificationRules rules(Duration soon) const;

  /// The key that messages to `customer` (empty: to the default webhook) are signed with. Throws UsageError
  /// if there is none.
  Secret signing_key(const std::string& customer) const;

  /// Returns when the other side has accepted the message. Throws Error{transient} if it may later,
  /// UsageError if it cannot be sent as things stand.
  void send(const store::Delivery& delivery, const std::function<bool()>& stopped);

 private:
  void post(const store::Delivery& delivery);
  void mail(const store::Delivery& delivery, const std::function<bool()>& stopped) const;

  NotifyConfig config_;
  Secret hmac_key_{};
  http::MailServer mail_server_{};
  http::Client client_;
};

}  // namespace csrq::notify
