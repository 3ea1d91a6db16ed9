#pragma once

#include <chrono>
#include <map>
#include <string>

#include "base/customer_policy.hpp"
#include "base/log.hpp"
#include "base/time.hpp"
#include "config/accounts.hpp"
#include "config/cas.hpp"
#include "config/challenges.hpp"
#include "config/notify.hpp"
#include "config/renewal.hpp"
#include "config/retry.hpp"

/// The configuration file as plain values, every one with its default. config.example.yaml documents each
/// key. Secrets are named by file here and read by whoever needs them. Whoever needs one part of it includes
/// that part's header.
namespace csrq {

struct DatabaseConfig {
  std::string url{"postgresql:///csrq"};  ///< any libpq URI or keyword string; several hosts too
  std::string password_file{};            ///< mode 0600; empty: what libpq finds by itself
};

struct CustomersConfig {
  CustomerRegistration registration{CustomerRegistration::automatic};
  Grants grants{Grants::automatic};
};

struct WorkerConfig {
  int threads{32};
  int in_flight{1000};
  Duration lease{std::chrono::minutes(10)};
  Duration poll{std::chrono::seconds(1)};
  int in_flight_per_customer{875};
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
