#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.hpp"
#include "base/network.hpp"
#include "base/time.hpp"

/// The configuration file as plain values, every one with its default. config.example.yaml documents each
/// key. Secrets are named by file here and read by whoever needs them.
namespace csrq {

struct DatabaseConfig {
  std::string url{"postgresql:///csrq"};  ///< any libpq URI or keyword string; several hosts too
  std::string password_file{};            ///< mode 0600; empty: what libpq finds by itself
};

struct ExternalAccountBindingConfig {
  std::string kid{};
  std::string hmac_key_file{};  ///< base64url, as CAs hand it out; mode 0600
};

/// What a CA allows: `burst` at once, refilled evenly over `period`.
struct RateLimit {
  int burst{};
  Duration period{};
  bool renewals_exempt{false};
  bool built_in{false};  ///< what csrq knows of the CA, not what the file says
};

/// What to do with a pending authorization that no open order needs.
enum class AbandonedPolicy { deactivate, expire };

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

/// Kinds of keys that a certificate may have.
enum class CertificateKey {
  rsa,  ///< of any size from 2048 to 4096 bits
  rsa_2048,
  rsa_3072,
  rsa_4096,
  ec_p256,
  ec_p384,
  ec_p521,
  ed25519
};

/// What is done with a CSR that has alternative names which are neither DNS names nor IP addresses.
enum class OtherNames { refuse, ignore };

/// What a CA takes in a CSR. The defaults are for a CA that csrq knows nothing of.
struct AcceptsConfig {
  std::vector<CertificateKey> keys{CertificateKey::rsa, CertificateKey::ec_p256, CertificateKey::ec_p384};
  bool other_exponents{true};       ///< of RSA, than 65537; known of a CA, not configured
  bool must_staple{false};          ///< the TLS feature extension (RFC 7633)
  bool common_name_only{true};      ///< a host name that stands in the common name alone
  bool display_common_name{false};  ///< a common name that is no host name
  bool single_labels{true};         ///< host names without a dot
  OtherNames other_names{OtherNames::refuse};
  bool operator==(const AcceptsConfig&) const = default;
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

/// csrq.rate_limit.name.
inline constexpr std::array<std::string_view, 6> limit_names{
    "new_accounts_per_address",           "new_orders_per_account",
    "certificates_per_registered_domain", "certificates_per_name_set",
    "failed_validations_per_identifier",  "consecutive_failures_per_identifier"};

enum class AccountPolicy { per_customer, shared, per_registered_domain };
enum class KeyType { ec_p256, ec_p384, rsa_2048, rsa_3072, rsa_4096 };

struct AccountsConfig {
  AccountPolicy policy{AccountPolicy::per_customer};
  KeyType key_type{KeyType::ec_p256};
  int in_flight{1000};             ///< requests held at once under one account, by all workers together
  std::string sealing_key_file{};  ///< 32 octets in base64; mode 0600
};

enum class Registration { automatic, closed };
/// Whose rows may ask only for the names that csrq.name_grant gives their customer: those of logins that
/// csrq.app_access limits to named customers, everybody's, or nobody's.
enum class Grants { automatic, enforce, off };

struct CustomersConfig {
  Registration registration{Registration::automatic};
  Grants grants{Grants::automatic};
};

struct Http01Config {
  std::string listen{};               ///< "address:port"; empty: another process answers
  std::vector<Network> proxy_from{};  ///< front ends
  bool self_check{false};
  std::vector<Network> self_check_networks{};  ///< that a self-check may enter beside the public ones
};

struct ChallengesConfig {
  std::string default_type{"http-01"};
  Http01Config http_01{};
};

struct WorkerConfig {
  int threads{32};
  int in_flight{1000};
  Duration lease{std::chrono::minutes(10)};
  Duration poll{std::chrono::seconds(1)};
  int in_flight_per_customer{875};
};

struct RetryConfig {
  std::vector<Duration> schedule{std::chrono::minutes(1), std::chrono::minutes(10), std::chrono::minutes(100),
                                 std::chrono::hours(24)};
};

struct RenewalConfig {
  double at_remaining{1.0 / 3};  ///< share of the lifetime that is left when a renewal is due
  int per_run{500};
  int per_hour{0};     ///< due renewals that all workers together take up within any hour; 0: no cap
  int level_days{30};  ///< by which a renewal may be moved ahead to level a spike; 0: none is
  bool ari{true};      ///< CAs are asked when they want certificates renewed (RFC 9773)
};

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

struct DnsConfig {
  std::string server{};  ///< "address:port", IPv4; empty: those of the system
};

struct MetricsConfig {
  std::string listen{};  ///< "address:port"; empty: no metrics
};

struct LogConfig {
  log::Level level{log::Level::info};
  log::Format format{log::Format::text};
};

struct Config {
  std::string file{};  ///< where it was read from, for messages
  DatabaseConfig database{};
  std::string default_ca{};
  std::map<std::string, CaConfig> cas{};
  AccountsConfig accounts{};
  CustomersConfig customers{};
  ChallengesConfig challenges{};
  WorkerConfig worker{};
  RetryConfig retry{};
  RenewalConfig renewal{};
  NotifyConfig notify{};
  DnsConfig dns{};
  MetricsConfig metrics{};
  LogConfig log{};
};

/// Reads and checks a file. Throws UsageError with one line a mistake ("csrq.yaml:12: unknown key `theads`;
/// did you mean `threads`?"), all of them at once. Relative paths in the file are taken from the file's
/// folder.
Config load_config(const std::string& path);

/// As load_config, from text; `name` stands for the file in messages.
Config parse_config(const std::string& text, const std::string& name);

/// `explicit_path` if not empty, else $CSRQ_CONFIG, ./csrq.yaml, /etc/csrq/csrq.yaml: the first that is set
/// or exists. Throws UsageError naming all places that were looked at.
std::string find_config(const std::string& explicit_path);

}  // namespace csrq
