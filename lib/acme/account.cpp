#include "acme/account.hpp"

#include <algorithm>

#include "acme/json.hpp"
#include "acme/problem.hpp"
#include "base/error.hpp"
#include "base/identifier.hpp"
#include "crypto/jws.hpp"
#include "http/url.hpp"

namespace csrq::acme {

namespace {

constexpr std::size_t told_terms_octets = 200;

/// One line for people, whatever the CA put there (Pebble: a data: URL).
std::string told_terms(const std::string& terms) {
  std::string told = terms.substr(0, told_terms_octets);
  std::ranges::replace_if(
      told, [](char character) { return character < ' ' || character > '~'; }, '?');
  return told;
}

void check_conditions(const Ca& ca, const Directory& directory, const NewAccount& wanted) {
  if (!directory.terms_of_service.empty() && !wanted.terms_of_service_agreed)
    fail(FailureClass::administrative, ErrorCode::terms_not_agreed,
         "the CA " + ca.name() + " has terms of service: read " + told_terms(directory.terms_of_service) +
             " and set terms_of_service_agreed to true in its configuration");
  if (directory.external_account_required && !wanted.eab)
    throw Error({.failure_class = FailureClass::administrative,
                 .code = std::string(problem_type::external_account_required),
                 .detail = "the CA " + ca.name() +
                           " makes accounts only for its customers: get an EAB key from it and set eab in "
                           "its configuration"});
}

std::string payload_of(const Directory& directory, const crypto::PublicKey& key, const NewAccount& wanted) {
  Json payload = Json::object();
  if (!wanted.contact.empty()) payload["contact"] = wanted.contact;
  if (wanted.terms_of_service_agreed) payload["termsOfServiceAgreed"] = true;
  if (wanted.eab)
    payload["externalAccountBinding"] = Json::parse(crypto::external_account_binding(
        crypto::jwk(key), wanted.eab->kid, wanted.eab->mac_key.reveal(), directory.new_account));
  return dump_json(payload);
}

Account read_account(const http::Response& response, const std::string& request_url) {
  const std::string body = response.body.empty() ? "{}" : response.body;
  const Object object = Object::parse(body, {.url = request_url});
  Account account;
  account.url = http::resolve_url(request_url, response.header("location"));
  if (response.header("location").empty() || !http::is_usable_url(account.url))
    object.refuse("the answer has no usable Location, which names the account");
  if (const std::string status = object.text("status"); !status.empty()) {
    const std::optional<AccountStatus> known = parse<AccountStatus>(status);
    if (!known || *known == AccountStatus::creating)
      object.refuse("the account has a status that csrq does not know");
    account.status = *known;
  }
  account.contact = object.texts("contact");
  account.orders_url = object.url("orders");
  account.created = response.status == 201;
  return account;
}

}  // namespace

namespace {

/// The words of Sectigo and its kin for a key id that has served once: the answer to that newAccount was
/// lost.
bool has_bound_already(const Refusal& refusal) {
  const std::string detail = to_lower_ascii(refusal.problem().detail);
  return detail.find("not awaiting external account binding") != std::string::npos;
}

}  // namespace

Account new_account(Ca& ca, std::shared_ptr<const crypto::SigningKey> key, const NewAccount& wanted) {
  const std::shared_ptr<const Directory> directory = ca.directory();
  check_conditions(ca, *directory, wanted);
  try {
    const http::Response response =
        ca.post({.key = key}, directory->new_account, payload_of(*directory, key->public_key(), wanted),
                RequestKind::new_account);
    return read_account(response, directory->new_account);
  } catch (const Refusal& refusal) {
    if (!has_bound_already(refusal)) throw;
    if (std::optional<Account> known = find_account(ca, std::move(key))) return *std::move(known);
    throw;
  }
}

std::optional<Account> find_account(Ca& ca, std::shared_ptr<const crypto::SigningKey> key) {
  const std::string url = ca.directory()->new_account;
  try {
    return read_account(
        ca.post({.key = std::move(key)}, url, R"({"onlyReturnExisting":true})", RequestKind::account_lookup),
        url);
  } catch (const Error& error) {
    if (error.failure().code == problem_type::account_does_not_exist) return std::nullopt;
    throw;
  }
}

}  // namespace csrq::acme
