#include "config/cas.hpp"

#include <fmt/format.h>

#include <chrono>
#include <string_view>
#include <utility>

#include "base/known_ca.hpp"
#include "config/sections.hpp"

namespace csrq {
namespace {

using namespace std::chrono_literals;

constexpr auto a_day = std::chrono::hours(24);

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

}  // namespace

void read_cas(Section section, std::map<std::string, CaConfig>& cas, const std::string& file) {
  for (const std::string& name : section.names()) {
    if (name.empty()) section.mistake(name, "a CA must have a name");
    CaConfig& ca = cas[name];
    ca.name = name;
    read_ca(section.section(name), ca, file);
  }
  for (const auto& [name, ca] : cas) check_fallback(section, ca, cas);
}

}  // namespace csrq
