#include "issuance/accounts.hpp"

#include "acme/account.hpp"
#include "base/encoding.hpp"
#include "base/error.hpp"
#include "base/log.hpp"
#include "crypto/jws.hpp"
#include "issuance/registered_domain.hpp"
#include "store/rate_limits.hpp"

namespace csrq::issuance {
namespace {

constexpr std::size_t most_cached = 20'000;

std::string owner_name(AccountPolicy policy, const std::string& customer,
                       const std::vector<std::string>& names) {
  switch (policy) {
    case AccountPolicy::shared:
      return {};
    case AccountPolicy::per_registered_domain:
      return account_domain(names);
    case AccountPolicy::per_customer:
      break;
  }
  return customer;
}

std::string described(const store::AccountOwner& owner) {
  return (owner.owner.empty() ? "the shared account" : "the account of \"" + owner.owner + "\"") + " at " +
         owner.directory;
}

/// Sealed keys open only for the account they were made for: a row moved to another account is refused.
std::string sealing_context(const store::AccountOwner& owner) {
  return "csrq account key\n" + owner.directory + "\n" + std::to_string(static_cast<int>(owner.policy)) +
         "\n" + owner.owner;
}

acme::ExternalAccountBinding binding_of(const ExternalAccountBindingConfig& config) {
  const Secret text = read_secret_file(config.hmac_key_file);
  std::string_view encoded = text.reveal();
  while (encoded.ends_with('=')) encoded.remove_suffix(1);
  std::optional<std::string> key = from_base64url(encoded);
  if (!key || key->empty())
    throw UsageError(config.hmac_key_file + ": the EAB key must be base64url, as the CA gave it");
  return {.kid = config.kid, .mac_key = Secret(std::move(*key))};
}

}  // namespace

Accounts::Accounts(store::Database& database, const crypto::SealingKey& sealing_key,
                   const AccountsConfig& config)
    : database_(database), sealing_key_(sealing_key), config_(config) {}

std::shared_ptr<Accounts::Entry> Accounts::entry(const store::AccountOwner& owner) {
  const std::scoped_lock lock(mutex_);
  if (entries_.size() >= most_cached) entries_.clear();
  std::shared_ptr<Entry>& found = entries_[owner];
  if (!found) found = std::make_shared<Entry>();
  return found;
}

store::AccountOwner Accounts::owner_of(const PooledCa& ca, const std::string& customer,
                                       const std::vector<std::string>& names) const {
  return {.ca = ca.config.name,
          .directory = ca.config.directory,
          .policy = config_.policy,
          .owner = owner_name(config_.policy, customer, names)};
}

std::shared_ptr<const Account> Accounts::find_or_register(PooledCa& ca, const std::string& customer,
                                                          const std::vector<std::string>& names) {
  const store::AccountOwner owner = owner_of(ca, customer, names);
  const std::shared_ptr<Entry> cached = entry(owner);
  if (std::shared_ptr<const Account> account = cached->account) return account;
  const std::unique_lock lock(cached->registering, std::try_to_lock);
  if (!lock) return nullptr;
  if (!cached->account.load()) cached->account = load(ca, owner);
  return cached->account;
}

std::shared_ptr<const Account> Accounts::existing(PooledCa& ca, const store::AccountOwner& owner) {
  const std::shared_ptr<Entry> cached = entry(owner);
  const std::scoped_lock lock(cached->registering);
  if (std::shared_ptr<const Account> account = cached->account) return account;
  const std::optional<store::StoredAccount> stored = store::find_account(database_, owner);
  if (!stored) fail(FailureClass::permanent, "unknown_account", described(owner) + " is not in the database");
  cached->account = opened(ca, owner, *stored);
  return cached->account;
}

std::shared_ptr<const Account> Accounts::register_again(PooledCa& ca, const Account& account) {
  const std::shared_ptr<Entry> cached = entry(account.owner);
  const std::scoped_lock lock(cached->registering);
  if (std::shared_ptr<const Account> other = cached->account;
      other && other->signer.account_url != account.signer.account_url)
    return other;
  log::warning(
      "the CA no longer knows an account; its key is registered again",
      {{"ca", ca.config.name}, {"owner", account.owner.owner}, {"account_url", account.signer.account_url}});
  Account renewed = account;
  register_key(ca, renewed);
  cached->account = std::make_shared<const Account>(std::move(renewed));
  return cached->account;
}

std::shared_ptr<const Account> Accounts::load(PooledCa& ca, const store::AccountOwner& owner) {
  const std::optional<store::StoredAccount> stored = store::find_account(database_, owner);
  return opened(ca, owner, stored ? *stored : create(owner));
}

store::StoredAccount Accounts::create(const store::AccountOwner& owner) {
  const crypto::PrivateKey key = crypto::PrivateKey::generate(config_.key_type);
  return store::find_or_create_account(
      database_, owner,
      {.thumbprint = crypto::thumbprint(key),
       .spki_sha256 = key.spki_sha256(),
       .sealing_key_id = sealing_key_.id(),
       .sealed = sealing_key_.seal(key.to_der().reveal(), sealing_context(owner))});
}

std::shared_ptr<const Account> Accounts::opened(PooledCa& ca, const store::AccountOwner& owner,
                                                const store::StoredAccount& stored) {
  if (stored.status == AccountStatus::deactivated || stored.status == AccountStatus::revoked)
    fail(FailureClass::administrative, "account_deactivated",
         described(owner) + " is " + std::string(to_string(stored.status)));
  if (stored.key.sealing_key_id != sealing_key_.id())
    fail(FailureClass::administrative, "sealed_key",
         described(owner) + " was sealed with the key " + stored.key.sealing_key_id +
             ", but accounts.sealing_key_file holds " + sealing_key_.id() +
             ": give this worker the file that the other workers use");
  const Secret der = sealing_key_.open(stored.key.sealed, sealing_context(owner));
  Account account{.id = stored.id,
                  .owner = owner,
                  .signer = {.key = crypto::PrivateKey::from_text(der.reveal()), .account_url = stored.url},
                  .thumbprint = stored.key.thumbprint,
                  .orders_url = stored.orders_url};
  if (stored.status == AccountStatus::creating || stored.url.empty()) register_key(ca, account);
  return std::make_shared<const Account>(std::move(account));
}

/// The key is committed; so the account is found again if the CA's answer is lost.
void Accounts::register_key(PooledCa& ca, Account& account) {
  acme::NewAccount wanted{.contact = ca.config.contact,
                          .terms_of_service_agreed = ca.config.terms_of_service_agreed,
                          .eab = nullptr};
  std::optional<acme::ExternalAccountBinding> binding;
  if (ca.config.eab) wanted.eab = &binding.emplace(binding_of(*ca.config.eab));
  if (const std::optional<store::Hold> held =
          store::take_account_token(database_, ca.config.directory, account.id, account.signer.account_url))
    throw Error({.failure_class = FailureClass::limited,
                 .code = held->code,
                 .detail = described(account.owner) + " waits to be registered: " + held->detail,
                 .problem = {},
                 .retry_after = held->wait});
  const acme::Account registered = acme::new_account(ca.ca, account.signer.key, wanted);
  store::account_registered(database_, account.id,
                            {.status = registered.status,
                             .url = registered.url,
                             .orders_url = registered.orders_url,
                             .contact = registered.contact});
  if (registered.status != AccountStatus::valid)
    fail(FailureClass::administrative, "account_deactivated",
         "the CA says that the account " + registered.url + " is " +
             std::string(to_string(registered.status)));
  account.signer.account_url = registered.url;
  account.orders_url = registered.orders_url;
}

}  // namespace csrq::issuance
