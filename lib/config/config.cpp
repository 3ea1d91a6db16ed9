#include "config/config.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <system_error>

#include "base/error.hpp"
#include "base/ipv4_endpoint.hpp"
#include "config/sections.hpp"

namespace csrq {
namespace {

using namespace std::chrono_literals;

constexpr auto a_day = std::chrono::hours(24);

void read_database(Section section, DatabaseConfig& database, const std::string& file) {
  section.text("url", database.url);
  section.path("password_file", database.password_file, file);
  section.finish();
}

void choose_default_ca(Section& section, Config& config) {
  section.text("default_ca", config.default_ca);
  std::vector<std::string_view> names;
  names.reserve(config.cas.size());
  for (const auto& [name, ca] : config.cas) names.push_back(name);
  if (section.has("default_ca")) {
    if (config.cas.contains(config.default_ca)) return;
    section.mistake("default_ca",
                    names.empty()
                        ? fmt::format("`default_ca` is `{}`, but `cas` has no CA", config.default_ca)
                        : fmt::format("`default_ca` is `{}`, which `cas` does not have; it must be one of {}",
                                      config.default_ca, fmt::join(names, ", ")));
  } else if (names.size() == 1) {
    config.default_ca = names.front();
  } else if (names.size() > 1) {
    section.mistake("cas",
                    fmt::format("`default_ca` is missing; it must be one of {}", fmt::join(names, ", ")));
  }
}

void read_accounts(Section section, AccountsConfig& accounts, const std::string& file) {
  section.choice("policy", accounts.policy,
                 {{"per_customer", AccountPolicy::per_customer},
                  {"shared", AccountPolicy::shared},
                  {"per_registered_domain", AccountPolicy::per_registered_domain}});
  section.choice("key_type", accounts.key_type,
                 {{"ec-p256", crypto::KeyType::ec_p256},
                  {"ec-p384", crypto::KeyType::ec_p384},
                  {"rsa-2048", crypto::KeyType::rsa_2048},
                  {"rsa-3072", crypto::KeyType::rsa_3072},
                  {"rsa-4096", crypto::KeyType::rsa_4096}});
  section.number("in_flight", accounts.in_flight, 1, 1'000'000);
  section.path("sealing_key_file", accounts.sealing_key_file, file);
  section.finish();
}

void read_customers(Section section, CustomersConfig& customers) {
  section.choice("register", customers.registration,
                 {{"auto", CustomerRegistration::automatic}, {"closed", CustomerRegistration::closed}});
  section.choice("grants", customers.grants,
                 {{"auto", Grants::automatic}, {"enforce", Grants::enforce}, {"off", Grants::off}});
  section.finish();
}

void read_challenges(Section section, ChallengesConfig& challenges) {
  section.choice("default", challenges.default_type, {{"http-01", std::string("http-01")}});
  Section http_01 = section.section("http-01");
  http_01.listen("listen", challenges.http_01.listen);
  http_01.networks("proxy_from", challenges.http_01.proxy_from);
  http_01.flag("self_check", challenges.http_01.self_check);
  http_01.networks("self_check_networks", challenges.http_01.self_check_networks);
  http_01.finish();
  section.finish();
}

void read_worker(Section section, WorkerConfig& worker) {
  section.number("threads", worker.threads, 1, 1'000);
  section.number("in_flight", worker.in_flight, 1, 100'000);
  section.duration("lease", worker.lease, 1min, a_day);  // several heartbeats
  section.duration("poll", worker.poll, 10ms, 1h);
  section.number("in_flight_per_customer", worker.in_flight_per_customer, 1, 100'000);
  section.finish();
}

void read_retry(Section section, RetryConfig& retry) {
  section.durations("schedule", retry.schedule, 100ms, 30 * a_day);
  section.finish();
}

void read_renewal(Section section, RenewalConfig& renewal) {
  section.share("at_remaining", renewal.at_remaining);
  section.number("per_run", renewal.per_run, 1, 1'000'000);
  section.number("per_hour", renewal.per_hour, 0, 10'000'000);
  section.number("level_days", renewal.level_days, 0, 90);
  section.flag("ari", renewal.ari);
  section.finish();
}

void read_dns(Section section, DnsConfig& dns) {
  section.text("server", dns.server);
  if (!dns.server.empty() && !ipv4_endpoint(dns.server))
    section.mistake("server", fmt::format("`{}` must be an IPv4 address with a port, as in 192.0.2.1:53",
                                          section.full_name("server")));
  section.finish();
}

void read_metrics(Section section, MetricsConfig& metrics) {
  section.listen("listen", metrics.listen);
  section.finish();
}

void read_log(Section section, LogConfig& log) {
  section.choice("level", log.level,
                 {{"debug", log::Level::debug},
                  {"info", log::Level::info},
                  {"warning", log::Level::warning},
                  {"error", log::Level::error}});
  section.choice("format", log.format, {{"text", log::Format::text}, {"json", log::Format::json}});
  section.finish();
}

std::string read_file(const std::string& path) {
  const auto refuse = [&path](const std::string& reason) {
    throw UsageError(fmt::format("cannot read the configuration {}: {}", path, reason));
  };
  std::ifstream file(path, std::ios::binary);
  if (!file) refuse(std::generic_category().message(errno));
  try {
    return {std::istreambuf_iterator<char>(file), {}};
  } catch (const std::ios_base::failure& failure) {
    refuse(failure.what());
  }
  return {};
}

}  // namespace

Config parse_config(const std::string& text, const std::string& name) {
  Mistakes mistakes(name);
  const YAML::Node document = load_yaml(text, name);
  Section file(document, document.Mark(), "", mistakes);
  Config config;
  config.file = name;
  read_database(file.section("database"), config.database, name);
  read_cas(file.section("cas"), config.cas, name);
  choose_default_ca(file, config);
  read_accounts(file.section("accounts"), config.accounts, name);
  read_customers(file.section("customers"), config.customers);
  read_challenges(file.section("challenges"), config.challenges);
  read_worker(file.section("worker"), config.worker);
  read_retry(file.section("retry"), config.retry);
  read_renewal(file.section("renewal"), config.renewal);
  read_notify(file.section("notify"), config.notify, name);
  read_dns(file.section("dns"), config.dns);
  read_metrics(file.section("metrics"), config.metrics);
  read_log(file.section("log"), config.log);
  file.finish();
  mistakes.throw_if_any();
  return config;
}

Config load_config(const std::string& path) {
  return parse_config(read_file(path), path);
}

std::string find_config(const std::string& explicit_path) {
  if (!explicit_path.empty()) return explicit_path;
  const char* from_environment =
      std::getenv("CSRQ_CONFIG");  // NOLINT(concurrency-mt-unsafe): nothing sets it
  if (from_environment != nullptr && *from_environment != '\0') return from_environment;
  for (const char* place : {"./csrq.yaml", "/etc/csrq/csrq.yaml"})
    if (access(place, F_OK) == 0) return place;
  throw UsageError(
      "no configuration found: --config is not given, $CSRQ_CONFIG is not set, and neither ./csrq.yaml nor "
      "/etc/csrq/csrq.yaml exists");
}

}  // namespace csrq
