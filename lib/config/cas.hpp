#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/abandoned_policy.hpp"
#include "base/rate_limit.hpp"
#include "config/accepts.hpp"

/// `cas` of the configuration.
namespace csrq {

struct ExternalAccountBindingConfig {
  std::string kid{};
  std::string hmac_key_file{};  ///< base64url, as CAs hand it out; mode 0600
};

/// Requests a second that the CA takes from one address, for each class of endpoints. 0: no limit; not set:
/// what csrq knows of the CA.
struct RequestRatesConfig {
  std::optional<int> directory{};
  std::optional<int> new_nonce{};
  std::optional<int> new_account{};
  std::optional<int> new_order{};
  std::optional<int> revoke{};
  std::optional<int> renewal_info{};
  std::optional<int> other{};
};

struct CaConfig {
  std::string name{};
  std::string directory{};             ///< https URL
  std::string ca_file{};               ///< extra trust anchors for the CA's API, PEM
  std::vector<std::string> contact{};  ///< "mailto:…"
  bool terms_of_service_agreed{false};
  std::optional<ExternalAccountBindingConfig> eab{};
  std::string profile{};
  std::string preferred_chain{};  ///< an issuer's CN, or SHA-256 fingerprint of a root in hexadecimal
  std::string roots_file{};       ///< roots of what the CA issues, PEM; empty: those of the system
  std::string fallback_ca{};      ///< name of another one; empty: none
  int max_names{100};             ///< names a certificate may have
  AcceptsConfig accepts{};        ///< by default what csrq knows of the CA
  int connections{4};             ///< TCP connections kept to this CA
  int orders_in_flight{1000};     ///< orders under way at this CA at once, per process
  AbandonedPolicy abandoned{AbandonedPolicy::deactivate};
  int deactivate_per_hour{2};                 ///< for each identifier and account
  std::map<std::string, RateLimit> limits{};  ///< by name (limit_names)
  RequestRatesConfig requests_per_second{};
};

}  // namespace csrq
