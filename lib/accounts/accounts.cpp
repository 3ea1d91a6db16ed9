#include "accounts/accounts.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

#include "accounts/owner.hpp"
#include "acme/account.hpp"
#include "acme/problem.hpp"
#include "base/error.hpp"
#include "base/log.hpp"
#include "config/accounts.hpp"
#include "store/rate_limits.hpp"

namespace csrq::accounts {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t most_cached = 20'000;

/// How long nobody sends newAccount for an account that the CA refuses, the first time, the second, …
constexpr std::array<Duration, 4> refusal_schedule{1min, 10min, 100min, 24h};
/// A database that is promoted has lost no more than this.
constexpr auto remembered_for = 1h;
/// An end is final: rows look whether somebody has given their owner another account.
constexpr Duration look_again = 24h;

AccountRefused ended(const store::AccountOwner& owner, store::AccountId account, std::string detail) {
  return {owner,
          account,
          {.failure_class = FailureClass::administrative,
           .code = to_string(ErrorCode::account_deactivated),
           .detail = std::move(detail),
           .problem = {},
           .retry_after = look_again}};
}

std::shared_ptr<const crypto::SigningKey> shared(crypto::PrivateKey key) {
  return std::make_shared<const crypto::PrivateKey>(std::move(key));
}

/// What the CA says when it is asked by the key: valid, or not any more; nothing: it knows no such account.
std::optional<AccountStatus> status_at(acme::Ca& ca, std::shared_ptr<const crypto::SigningKey> key) {
  try {
    const std::optional<acme::Account> found = acme::find_account(ca, std::move(key));
    return found ? std::optional(found->status) : std::nullopt;
  } catch (const acme::Refusal& refusal) {
    if (refusal.failure().code != ErrorCode::account_deactivated) throw;
    return AccountStatus::deactivated;
  }
}

}  // namespace

Accounts::Accounts(store::Database& database, const Keyring& keyring, const AccountsConfig& config)
    : database_(database), keyring_(keyring), config_(config) {}

std::shared_ptr<Accounts::Entry> Accounts::entry(const store::AccountOwner& owner) {
  const Lock lock(mutex_);
  if (entries_.size() >= most_cached) entries_.clear();
  std::shared_ptr<Entry>& found = entries_[owner];
  if (!found) found = std::make_shared<Entry>();
  return found;
}

store::AccountOwner Accounts::owner_of(const cas::PooledCa& ca, const std::string& customer,
                                       const std::vector<std::string>& names) const {
  return {.ca = ca.name(),
          .directory = ca.directory(),
          .policy = config_.policy,
          .owner = owner_name(config_.policy, customer, names)};
}

std::shared_ptr<const OpenAccount> Accounts::find_or_register(cas::PooledCa& ca, const std::string& customer,
                                                              const std::vector<std::string>& names) {
  const store::AccountOwner owner = owner_of(ca, customer, names);
  const std::shared_ptr<Entry> cached = entry(owner);
  if (std::shared_ptr<const OpenAccount> account = in_use(*cached)) return account;
  const std::unique_lock lock(cached->registering, std::try_to_lock);
  if (!lock) return nullptr;
  if (std::shared_ptr<const OpenAccount> account = in_use(*cached)) return account;
  const std::uint64_t look = look_;
  return keep(*cached, load(ca, owner), look);
}

std::shared_ptr<const OpenAccount> Accounts::in_use(const Entry& entry) const {
  const Lock lock(entry.mutex);
  return entry.look == look_ ? entry.account : nullptr;
}

std::shared_ptr<const OpenAccount> Accounts::keep(Entry& entry, std::shared_ptr<const OpenAccount> account,
                                                  std::uint64_t look) {
  const Lock lock(entry.mutex);
  entry.account = std::move(account);
  entry.look = look;
  return entry.account;
}

std::shared_ptr<const OpenAccount> Accounts::existing(cas::PooledCa& ca, const store::AccountOwner& owner) {
  const std::shared_ptr<Entry> cached = entry(owner);
  const std::scoped_lock lock(cached->registering);
  if (std::shared_ptr<const OpenAccount> account = in_use(*cached)) return account;
  const std::uint64_t look = look_;
  const std::optional<store::StoredAccount> stored = store::find_account(database_, owner);
  if (!stored)
    fail(FailureClass::permanent, ErrorCode::unknown_account, described(owner) + " is not in the database");
  return keep(*cached, opened(ca, owner, *stored), look);
}

std::shared_ptr<const OpenAccount> Accounts::register_again(cas::PooledCa& ca, const OpenAccount& account) {
  const std::shared_ptr<Entry> cached = entry(account.owner);
  const std::scoped_lock registering(cached->registering);
  {
    const Lock lock(cached->mutex);
    if (cached->account && cached->account->signer.account_url != account.signer.account_url)
      return cached->account;
  }
  log::warning(
      "the CA no longer knows an account; its key is registered again",
      {{"ca", ca.name()}, {"owner", account.owner.owner}, {"account_url", account.signer.account_url}});
  OpenAccount renewed = account;
  register_key(ca, renewed);
  const Lock lock(cached->mutex);
  cached->account = std::make_shared<const OpenAccount>(std::move(renewed));
  return cached->account;
}

void Accounts::look_up_again() {
  ++look_;
  std::deque<Made> made;
  {
    const Lock lock(mutex_);
    made = made_;
  }
  for (const Made& one : made)
    store::find_or_create_account(database_, one.owner, keyring_.seal(one.key, one.owner));
}

std::shared_ptr<const OpenAccount> Accounts::load(cas::PooledCa& ca, const store::AccountOwner& owner) {
  const std::optional<store::StoredAccount> stored = store::find_account(database_, owner);
  return opened(ca, owner, stored ? *stored : create(owner));
}

store::StoredAccount Accounts::create(const store::AccountOwner& owner) {
  return store::find_or_create_account(database_, owner, keyring_.seal(key_for(owner), owner));
}

/// The one that was made for it within the last hour, should the database have lost it.
crypto::PrivateKey Accounts::key_for(const store::AccountOwner& owner) {
  const auto now = std::chrono::steady_clock::now();
  const Lock lock(mutex_);
  while (!made_.empty() && made_.front().at < now - remembered_for) made_.pop_front();
  const auto found = std::ranges::find(made_, owner, &Made::owner);
  if (found != made_.end()) return found->key;
  made_.push_back({.owner = owner, .key = crypto::PrivateKey::generate(config_.key_type), .at = now});
  return made_.back().key;
}

std::shared_ptr<const OpenAccount> Accounts::opened(cas::PooledCa& ca, const store::AccountOwner& owner,
                                                    const store::StoredAccount& stored) {
  if (stored.status == AccountStatus::deactivated || stored.status == AccountStatus::revoked)
    throw ended(owner, stored.id, described(owner) + " is " + std::string(to_string(stored.status)));
  OpenAccount account{.id = stored.id,
                      .owner = owner,
                      .signer = {.key = shared(keyring_.open(stored.key, owner)), .account_url = stored.url},
                      .thumbprint = stored.key.thumbprint,
                      .orders_url = stored.orders_url};
  if (stored.status == AccountStatus::creating || stored.url.empty()) register_key(ca, account);
  return std::make_shared<const OpenAccount>(std::move(account));
}

/// The key is committed; so the account is found again if the CA's answer is lost.
void Accounts::register_key(cas::PooledCa& ca, OpenAccount& account) {
  begin_registration(ca, account);
  acme::Account registered;
  try {
    registered = acme::new_account(ca.ca, account.signer.key, wanted_account(ca));
  } catch (const Error& error) {
    registration_failed(ca, account, error);
  }
  store::account_registered(database_, account.id,
                            {.status = registered.status,
                             .url = registered.url,
                             .orders_url = registered.orders_url,
                             .contact = registered.contact});
  if (registered.status != AccountStatus::valid)
    throw ended(account.owner, account.id,
                "the CA says that the account " + registered.url + " is " +
                    std::string(to_string(registered.status)));
  account.signer.account_url = registered.url;
  account.orders_url = registered.orders_url;
}

/// Returns when newAccount may be sent.
void Accounts::begin_registration(cas::PooledCa& ca, OpenAccount& account) {
  if (const std::optional<store::RegistrationWait> not_yet =
          store::begin_registration(database_, account.id, registration_settings(ca, config_))) {
    Failure why = not_yet->refusal.value_or(
        Failure{.failure_class = FailureClass::limited,
                .code = to_string(ErrorCode::on_hold),
                .detail = described(account.owner) + " is being registered by another worker"});
    why.retry_after = not_yet->wait;
    if (not_yet->refusal) throw AccountRefused(account.owner, account.id, std::move(why));
    throw Error(std::move(why));
  }
  replace_refused_key(account);
  if (const std::optional<store::NotYet> not_yet =
          store::take_account_token(database_, ca.directory(), account.id, account.signer.account_url)) {
    store::registration_unanswered(database_, account.id);
    throw Error({.failure_class = FailureClass::limited,
                 .code = not_yet->code,
                 .detail = described(account.owner) + " waits to be registered: " + not_yet->detail,
                 .problem = {},
                 .retry_after = not_yet->wait});
  }
}

/// The kind of key may be what the CA refused: an account that was never made takes the one that is
/// configured now.
void Accounts::replace_refused_key(OpenAccount& account) {
  if (!account.signer.account_url.empty() || account.signer.key->public_key().is_of(config_.key_type)) return;
  crypto::PrivateKey key = crypto::PrivateKey::generate(config_.key_type);
  store::SealedKey stored = keyring_.seal(key, account.owner);
  if (!store::replace_refused_key(database_, account.id, account.thumbprint, stored)) return;
  account.signer.key = shared(std::move(key));
  account.thumbprint = std::move(stored.thumbprint);
}

void Accounts::registration_failed(const cas::PooledCa& ca, const OpenAccount& account, const Error& error) {
  Failure failure = error.failure();
  if (failure.failure_class != FailureClass::administrative) {
    store::registration_unanswered(database_, account.id);
    throw Error(std::move(failure));
  }
  if (const std::string remedy =
          registration_remedy(error, ca, account.signer.key->public_key(), config_.key_type);
      !remedy.empty())
    failure.detail += ": " + remedy;
  failure.retry_after = store::registration_refused(database_, account.id, failure,
                                                    {refusal_schedule.begin(), refusal_schedule.end()});
  throw AccountRefused(account.owner, account.id, std::move(failure));
}

void Accounts::give_up(cas::PooledCa& ca, const OpenAccount& account, Failure refusal) {
  const std::optional<AccountStatus> status = status_at(ca.ca, account.signer.key);
  if (!status || *status == AccountStatus::valid) {
    refusal.code = acme::problem_type::unauthorized;
    if (status) refusal.failure_class = FailureClass::transient;
    throw Error(std::move(refusal));
  }
  log::error("an account has ended at its CA; its rows wait", {{"ca", ca.name()},
                                                               {"owner", account.owner.owner},
                                                               {"account_url", account.signer.account_url},
                                                               {"cause", refusal.detail}});
  refusal.retry_after = look_again;
  store::account_ended(database_, account.id, *status, refusal);
  keep(*entry(account.owner), nullptr, look_);
  throw AccountRefused(account.owner, account.id, std::move(refusal));
}

void Accounts::put_in_force(const cas::CaPool& cas) {
  for (const cas::PooledCa* ca : cas.all())
    if (const std::int64_t woken = store::settings_in_force(database_, ca->name(), ca->directory(),
                                                            registration_settings(*ca, config_)))
      log::info("the configuration has changed; rows whose account was refused are due",
                {{"ca", ca->name()}, {"rows", woken}});
}

}  // namespace csrq::accounts
