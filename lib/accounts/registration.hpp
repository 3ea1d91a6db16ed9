#pragma once

#include <string>

#include "acme/account.hpp"
#include "base/error.hpp"
#include "cas/ca_pool.hpp"
#include "crypto/key.hpp"
#include "store/accounts.hpp"

namespace csrq {
struct AccountsConfig;
}  // namespace csrq

namespace csrq::accounts {

/// An account cannot be used before a person acts, or its CA changes its mind. Rows that need the account
/// wait for `failure().retry_after`, and count no failure.
class AccountRefused : public Error {
 public:
  AccountRefused(store::AccountOwner owner, store::AccountId account, Failure failure)
      : Error(std::move(failure)), owner_(std::move(owner)), account_(account) {}
  const store::AccountOwner& owner() const noexcept { return owner_; }
  store::AccountId account() const noexcept { return account_; }

 private:
  store::AccountOwner owner_;
  store::AccountId account_;
};

/// What newAccount says.
acme::NewAccount wanted_account(const cas::PooledCa& ca);

/// A digest of all settings that newAccount depends on. With another digest the CA may answer otherwise.
std::string registration_settings(const cas::PooledCa& ca, const AccountsConfig& accounts);

/// Which setting helps against this refusal of newAccount, which was sent for `key`: "check …".
std::string registration_remedy(const Error& refusal, const cas::PooledCa& ca, const crypto::PublicKey& key,
                                crypto::KeyType key_type);

}  // namespace csrq::accounts
