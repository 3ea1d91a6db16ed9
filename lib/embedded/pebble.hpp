#pragma once

#include <sys/types.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/time.hpp"

namespace csrq::embedded {

/// Pebble is Let's Encrypt's small ACME server for tests: it keeps everything in memory, and its roots are
/// new at each start.
struct PebbleOptions {
  std::string folder{};                ///< made if missing: configuration, certificates, logs
  int port{0};                         ///< of the ACME API; 0: a free one, kept over restarts
  int management_port{0};              ///< likewise
  int http_port{5002};                 ///< where it fetches http-01 answers, at 127.0.0.1 for every name
  int tls_port{5001};                  ///< likewise for tls-alpn-01
  bool wait_before_validation{false};  ///< as a real CA: up to some seconds
  bool always_valid{false};            ///< validates nothing
  int nonce_reject_percent{0};         ///< good nonces refused
  int authorization_reuse_percent{
      0};               ///< valid authorizations handed to new orders; 0 still reuses about 1 %
  int chain_length{1};  ///< certificates between the end entity and the root
  int alternate_roots{0};
  Duration certificate_validity{std::chrono::hours(24 * 90)};
  std::vector<std::string> blocked_domains{};  ///< refused, with all below them
  /// Key id and MAC key (base64url); where there is one, an account needs an external account binding.
  std::map<std::string, std::string> external_account_keys{};
};

/// Revocation state as Pebble knows it.
struct CertificateStatus {
  bool revoked{false};
  std::optional<int> reason{};  ///< RFC 5280 §5.3.1
};

/// Pebble, and pebble-challtestsrv as its DNS server (every name is at 127.0.0.1), for as long as this object
/// lives. Many requests at once can make Pebble hang for good: keep to two orders at a time, or put something
/// in between that never lets a newOrder and the reading of an authorization overlap. Make it from a
/// long-living thread (see Process).
class Pebble {
 public:
  /// Starts both and waits until the directory answers. Throws UsageError if a program is missing,
  /// Unreachable with the log's last lines if one fails.
  explicit Pebble(PebbleOptions options);
  ~Pebble();
  Pebble(const Pebble&) = delete;
  Pebble& operator=(const Pebble&) = delete;

  std::string directory_url() const;   ///< "https://127.0.0.1:14000/dir"
  std::string management_url() const;  ///< "https://127.0.0.1:15000"
  std::string dns_url() const;         ///< "http://127.0.0.1:8055": pebble-challtestsrv's management API
  int port() const;
  std::string ca_file() const;           ///< trust anchor of the API itself, not of what it issues
  std::string certificate_file() const;  ///< of the API, for a proxy at localhost
  std::string key_file() const;

  /// The root of the chain that is offered first (0), or of an alternate one. Changes with a restart.
  std::string root_pem(int index = 0) const;

  /// Nothing if Pebble does not know the serial number (hexadecimal).
  std::optional<CertificateStatus> certificate_status(const std::string& serial) const;

  bool running();
  pid_t pid() const;  ///< of Pebble itself, while it runs
  void stop();
  void kill();     ///< at once, as a crash would
  void restart();  ///< at the same ports; accounts, orders and roots are gone

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace csrq::embedded
