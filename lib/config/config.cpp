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
#include "base/known_ca.hpp"
#include "config/reader.hpp"
#include "http/mail.hpp"
#include "http/url.hpp"

namespace csrq {
namespace {

using namespace std::chrono_literals;

constexpr auto a_day = std::chrono::hours(24);

void read_database(Section section, DatabaseConfig& database, const std::string& file) {
  section.text("url", database.url);
  section.path("password_file", database.password_file, file);
  section.finish();
}

void read_eab(Section section, std::optional<ExternalAccountBindingConfig>& eab, const std::string& file) {
  ExternalAccountBindingConfig found;
  section.text("kid", found.kid);
  section.path("hmac_key_file", found.hmac_key_file, file);
  for (const char* key : {"kid", "hmac_key_file"})
    if (!section.has(key)) section.mistake(key, fmt::format("`{}` is missing", section.full_name(key)));
  section.finish();
  eab = std::move(found);
}

void check_directory(Section& section, const std::string& directory) {
  if (!section.has("directory")) {
    section.mistake("directory", fmt::format("`{}` is missing: the https URL of the CA's ACME directory",
                                             section.full_name("directory")));
  } else if (!directory.starts_with("https://") || directory.size() == 8) {
    section.mistake("directory", fmt::format("`{}` must be a URL that begins with https:// (RFC 8555 §6.1)",
                                             section.full_name("directory")));
  }
}

void check_contacts(Section& section, const std::vector<std::string>& contacts) {
  for (const std::string& contact : contacts)
    if (!contact.starts_with("mailto:") || contact.find('@') == std::string::npos)
      section.mistake("contact", fmt::format("`{}` has `{}`; write a mail address as mailto:ops@example.net",
                                             section.full_name("contact"), contact));
}

void read_limit(Section section, RateLimit& limit) {
  section.number("burst", limit.burst, 1, 1'000'000'000);
  section.duration("per", limit.period, 1s, 10'000 * a_day);
  section.choice("renewals", limit.renewals_exempt, {{"charged", false}, {"exempt", true}});
  for (const char* key : {"burst", "per"})
    if (!section.has(key)) section.mistake(key, fmt::format("`{}` is missing", section.full_name(key)));
  if (limit.burst > 0 && limit.period > Duration(0) && limit.period / limit.burst < 1ms)
    section.mistake("burst",
                    fmt::format("`{}` is more than one in a millisecond, which is no limit: leave it out",
                                section.full_name("burst")));
  section.finish();
}

void read_limits(Section section, std::map<std::string, RateLimit>& limits) {
  for (const std::string_view name : limit_names) {
    const bool is_set = section.has(name);
    Section limit = section.section(name);
    if (is_set) read_limit(std::move(limit), limits[std::string(name)]);
  }
  section.finish();
}

void read_rate(Section& section, std::string_view key, std::optional<int>& rate) {
  int number = -1;
  section.number(key, number, 0, 100'000);
  if (number >= 0) rate = number;
}

void read_request_rates(Section section, RequestRatesConfig& rates) {
  read_rate(section, "directory", rates.directory);
  read_rate(section, "new_nonce", rates.new_nonce);
  read_rate(section, "new_account", rates.new_account);
  read_rate(section, "new_order", rates.new_order);
  read_rate(section, "revoke", rates.revoke);
  read_rate(section, "renewal_info", rates.renewal_info);
  read_rate(section, "other", rates.other);
  section.finish();
}

/// https://letsencrypt.org/docs/integration-guide/#supported-key-algorithms, and what Boulder refuses.
AcceptsConfig accepted_by(std::string_view directory) {
  if (known_ca(directory) == KnownCa::none) return {};
  return {.keys = {CertificateKey::rsa_2048, CertificateKey::rsa_3072, CertificateKey::rsa_4096,
                   CertificateKey::ec_p256, CertificateKey::ec_p384},
          .other_exponents = false,
          .single_labels = false};
}

void read_accepts(Section section, AcceptsConfig& accepts) {
  section.choices("keys", accepts.keys,
                  {{"rsa", CertificateKey::rsa},
                   {"rsa-2048", CertificateKey::rsa_2048},
                   {"rsa-3072", CertificateKey::rsa_3072},
                   {"rsa-4096", CertificateKey::rsa_4096},
                   {"ec-p256", CertificateKey::ec_p256},
                   {"ec-p384", CertificateKey::ec_p384},
                   {"ec-p521", CertificateKey::ec_p521},
                   {"ed25519", CertificateKey::ed25519}});
  section.flag("must_staple", accepts.must_staple);
  section.flag("common_name_only", accepts.common_name_only);
  section.flag("display_common_name", accepts.display_common_name);
  section.flag("single_labels", accepts.single_labels);
  section.choice("other_names", accepts.other_names,
                 {{"refuse", OtherNames::refuse}, {"ignore", OtherNames::ignore}});
  section.finish();
}

void read_ca(Section section, CaConfig& ca, const std::string& file) {
  section.text("directory", ca.directory);
  check_directory(section, ca.directory);
  section.path("ca_file", ca.ca_file, file);
  section.texts("contact", ca.contact);
  check_contacts(section, ca.contact);
  section.flag("terms_of_service_agreed", ca.terms_of_service_agreed);
  const bool has_eab = section.has("eab");
  Section eab = section.section("eab");
  if (has_eab) read_eab(std::move(eab), ca.eab, file);
  section.text("profile", ca.profile);
  section.text("preferred_chain", ca.preferred_chain);
  section.path("roots_file", ca.roots_file, file);
  section.text("fallback_ca", ca.fallback_ca);
  section.number("max_names", ca.max_names, 1, 10'000);
  ca.accepts = accepted_by(ca.directory);
  read_accepts(section.section("accepts"), ca.accepts);
  section.number("connections", ca.connections, 1, 1'000);
  section.number("orders_in_flight", ca.orders_in_flight, 1, 100'000);
  section.choice("abandoned", ca.abandoned,
                 {{"deactivate", AbandonedPolicy::deactivate}, {"expire", AbandonedPolicy::expire}});
  section.number("deactivate_per_hour", ca.deactivate_per_hour, 0, 1'000);
  read_limits(section.section("limits"), ca.limits);
  read_request_rates(section.section("requests_per_second"), ca.requests_per_second);
  section.finish();
}

void check_fallback(Section& section, const CaConfig& ca, const std::map<std::string, CaConfig>& cas) {
  if (ca.fallback_ca.empty() || (ca.fallback_ca != ca.name && cas.contains(ca.fallback_ca))) return;
  section.mistake(ca.name,
                  fmt::format("`{}.fallback_ca` is `{}`, which is not the name of another CA in `cas`",
                              section.full_name(ca.name), ca.fallback_ca));
}

void read_cas(Section section, std::map<std::string, CaConfig>& cas, const std::string& file) {
  for (const std::string& name : section.names()) {
    if (name.empty()) section.mistake(name, "a CA must have a name");
    CaConfig& ca = cas[name];
    ca.name = name;
    read_ca(section.section(name), ca, file);
  }
  for (const auto& [name, ca] : cas) check_fallback(section, ca, cas);
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
                 {{"ec-p256", KeyType::ec_p256},
                  {"ec-p384", KeyType::ec_p384},
                  {"rsa-2048", KeyType::rsa_2048},
                  {"rsa-3072", KeyType::rsa_3072},
                  {"rsa-4096", KeyType::rsa_4096}});
  section.number("in_flight", accounts.in_flight, 1, 1'000'000);
  section.path("sealing_key_file", accounts.sealing_key_file, file);
  section.finish();
}

void read_customers(Section section, CustomersConfig& customers) {
  section.choice("register", customers.registration,
                 {{"auto", Registration::automatic}, {"closed", Registration::closed}});
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

void read_notify(Section section, NotifyConfig& notify, const std::string& file) {
  read_webhook(section.section("webhook"), notify.webhook, file);
  read_smtp(section.section("smtp"), notify.smtp, file);
  section.duration("digest", notify.digest, 1min, 7 * a_day);
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
