#include "accounts/registration.hpp"

#include <algorithm>
#include <array>

#include "acme/problem.hpp"
#include "base/encoding.hpp"
#include "base/text.hpp"
#include "cas/external_account.hpp"
#include "config/accounts.hpp"
#include "config/cas.hpp"
#include "crypto/digest.hpp"

namespace csrq::accounts {
namespace {

std::string_view name_of(crypto::KeyType type) {
  constexpr auto names =
      std::to_array<std::string_view>({"ec-p256", "ec-p384", "rsa-2048", "rsa-3072", "rsa-4096"});
  return names.at(static_cast<std::size_t>(type));
}

/// The first key type that signs with one of these; empty: none does.
std::string_view key_type_for(const std::vector<std::string>& algorithms) {
  constexpr auto types = std::to_array<std::pair<std::string_view, std::string_view>>(
      {{"ES256", "ec-p256"}, {"ES384", "ec-p384"}, {"RS256", "rsa-2048"}});
  for (const auto& [algorithm, type] : types)
    if (std::ranges::find(algorithms, algorithm) != algorithms.end()) return type;
  return {};
}

std::string key_remedy(const std::vector<std::string>& algorithms, const crypto::PublicKey& key,
                       crypto::KeyType key_type) {
  const std::string ours = "accounts.key_type is " + std::string(name_of(key_type)) + ", which signs with " +
                           std::string(key.jws_algorithm());
  if (algorithms.empty()) return ours + ": set it to another";
  const std::string theirs = "the CA takes the algorithms " + joined(algorithms) + "; " + ours;
  const std::string_view better = key_type_for(algorithms);
  return theirs + (better.empty() ? ": csrq signs with none of those" : ": set it to " + std::string(better));
}

std::string binding_remedy(const cas::PooledCa& ca) {
  const std::string section = "cas." + ca.name() + ".eab";
  if (!ca.binding) return "get a key id and a MAC key from the CA and set " + section;
  std::string text = "check kid and MAC key of " + section + " (" + ca.config.eab.value().hmac_key_file + ")";
  if (cas::is_encoded_twice(*ca.binding))
    text += "; this key is base64 of base64: decode it once and write down what comes out";
  return text;
}

}  // namespace

acme::NewAccount wanted_account(const cas::PooledCa& ca) {
  return {.contact = ca.config.contact,
          .terms_of_service_agreed = ca.config.terms_of_service_agreed,
          .eab = ca.binding ? &*ca.binding : nullptr};
}

std::string registration_settings(const cas::PooledCa& ca, const AccountsConfig& accounts) {
  std::string settings;
  const auto add = [&](std::string_view value) {
    settings += std::to_string(value.size()) + ":";
    settings += value;
  };
  add(policy_name(accounts.policy));
  add(name_of(accounts.key_type));
  add(ca.config.terms_of_service_agreed ? "agreed" : "");
  add(ca.binding ? ca.binding->kid : "");
  // An own digest, so that no copy of the key is left behind.
  add(ca.binding ? crypto::sha256(ca.binding->mac_key.reveal()) : "");
  for (const std::string& contact : ca.config.contact) add(contact);
  return hex(crypto::sha256(settings)).substr(0, 32);
}

std::string registration_remedy(const Error& refusal, const cas::PooledCa& ca, const crypto::PublicKey& key,
                                crypto::KeyType key_type) {
  const auto* answer = dynamic_cast<const acme::Refusal*>(&refusal);
  if (!answer) return {};  // csrq's own sentence, which says what helps
  const acme::Problem& problem = answer->problem();
  const std::string section = "cas." + ca.name();
  if (problem.is(acme::problem_type::bad_signature_algorithm) ||
      problem.is(acme::problem_type::bad_public_key))
    return key_remedy(problem.algorithms, key, key_type);
  if (problem.is(acme::problem_type::invalid_contact) || problem.is(acme::problem_type::unsupported_contact))
    return "check " + section + ".contact";
  if (problem.is(acme::problem_type::user_action_required) ||
      problem.is(acme::problem_type::agreement_required))
    return "read the CA's terms of service and set " + section + ".terms_of_service_agreed: true";
  if (problem.is(acme::problem_type::external_account_required) ||
      (ca.binding && problem.is(acme::problem_type::unauthorized)))
    return binding_remedy(ca);
  return "check accounts.key_type, " + section + ".contact" +
         (ca.binding ? "; " + binding_remedy(ca) : " and " + section + ".eab");
}

}  // namespace csrq::accounts
