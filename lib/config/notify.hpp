#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/time.hpp"

namespace csrq {

struct WebhookConfig {
  std::string url{};            ///< https, or http to loopback; empty: the default recipient has none
  std::string hmac_key_file{};  ///< any octets; mode 0600; empty: no webhooks, those of customers neither
  std::string ca_file{};        ///< extra trust anchors, PEM
};

struct SmtpConfig {
  std::string url{};  ///< "smtps://host:465" or "smtp://host:587"; empty: no mail
  std::string from{};
  std::vector<std::string> to{};  ///< the default recipient; empty: only customers get mail
  std::string user{};
  std::string password_file{};  ///< mode 0600
  std::string ca_file{};        ///< extra trust anchors, PEM
};

struct NotifyConfig {
  WebhookConfig webhook{};
  SmtpConfig smtp{};
  Duration digest{std::chrono::minutes(15)};  ///< between two messages about one cause
};

}  // namespace csrq
