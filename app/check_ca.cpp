#include "acme/problem.hpp"
#include "app/checkup.hpp"
#include "cas/external_account.hpp"
#include "config/cas.hpp"
#include "http/client.hpp"
#include "http/retry_after.hpp"

namespace csrq::app {
namespace {

void check_date(Checkup& checkup, const std::string& subject, const http::Response& answer) {
  const Time here = now();
  if (const auto date = http::parse_http_date(answer.header("date"), here))
    check_clock(checkup, subject, "the CA's clock", *date - here);
}

void check_terms(Checkup& checkup, const std::string& subject, const CaConfig& ca,
                 const acme::Directory& directory) {
  if (directory.terms_of_service.empty()) return;
  if (!ca.terms_of_service_agreed)
    return checkup.fail(
        subject, "its terms of service are not agreed to: no account can be made",
        "read " + directory.terms_of_service + " and set cas." + ca.name + ".terms_of_service_agreed: true");
  checkup.ok(subject, "terms of service agreed: " + directory.terms_of_service);
}

/// Its files can be read whether the CA answers or not.
void check_binding(Checkup& checkup, const std::string& subject, const CaConfig& ca) {
  if (!ca.eab) return;
  const acme::ExternalAccountBinding binding = cas::read_external_account_binding(ca);
  if (cas::is_encoded_twice(binding))
    return checkup.warn(subject, ca.eab->hmac_key_file + " holds base64 of base64",
                        "if the CA refuses it, decode it once and write down what comes out");
  checkup.ok(subject, "external account binding with key id " + ca.eab->kid);
}

void check_binding_wanted(Checkup& checkup, const std::string& subject, const CaConfig& ca,
                          const acme::Directory& directory) {
  if (directory.external_account_required && !ca.eab)
    checkup.fail(subject, "it wants an external account binding",
                 "get a key id and a MAC key from the CA, set cas." + ca.name + ".eab");
}

void check_profile(Checkup& checkup, const std::string& subject, const CaConfig& ca,
                   const acme::Directory& directory) {
  std::string offered;
  for (const auto& [name, description] : directory.profiles) offered += (offered.empty() ? "" : ", ") + name;
  if (ca.profile.empty()) {
    if (!offered.empty()) checkup.ok(subject, "offers the profiles " + offered);
  } else if (directory.profiles.contains(ca.profile)) {
    checkup.ok(subject, "offers the profile " + ca.profile);
  } else {
    checkup.fail(subject, "does not offer the profile \"" + ca.profile + "\"",
                 "set cas." + ca.name + ".profile to " +
                     (offered.empty() ? "nothing: it offers none" : "one of " + offered));
  }
}

}  // namespace

void check_ca(Checkup& checkup, const CaConfig& config) {
  const std::string subject = "CA " + config.name;
  checkup.guard(subject, [&] { check_binding(checkup, subject, config); });
  checkup.guard(subject, [&] {
    http::Client client({.ca_file = config.ca_file});
    const http::Response answer = client.send({.url = config.directory});
    if (answer.status != 200)
      throw acme::error_of(answer, acme::RequestKind::directory, "the directory " + config.directory);
    const acme::Directory directory = acme::parse_directory(answer.body, config.directory);
    checkup.ok(subject, "answers at " + config.directory);
    check_date(checkup, subject, answer);
    checkup.guard(subject, [&] { check_terms(checkup, subject, config, directory); });
    check_binding_wanted(checkup, subject, config, directory);
    check_profile(checkup, subject, config, directory);
    for (const std::string& identity : directory.caa_identities)
      checkup.ok(subject, "CAA records must allow " + identity + ", where there are any");
  });
}

}  // namespace csrq::app
