#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/account_policy.hpp"
#include "base/error.hpp"
#include "base/status.hpp"
#include "store/database.hpp"
#include "store/ids.hpp"

namespace csrq::store {

/// Whose account: one row of csrq.acme_account for each.
struct AccountOwner {
  std::string ca{};
  std::string directory{};
  AccountPolicy policy{};
  std::string owner{};  ///< customer or registered domain; empty for a shared account
  auto operator<=>(const AccountOwner&) const = default;
};

struct SealedKey {
  std::string thumbprint{};
  std::string spki_sha256{};  ///< raw octets
  std::string sealing_key_id{};
  std::string sealed{};
};

struct StoredAccount {
  AccountId id{};
  AccountStatus status{};
  std::string url{};
  std::string orders_url{};  ///< empty: the CA lists no orders
  SealedKey key{};           ///< spki_sha256 left empty
};

/// The owner's account, or nothing.
std::optional<StoredAccount> find_account(Database& database, const AccountOwner& owner);
/// The owner's account; made with `key` if there is none. Of two workers at once one wins and both get the
/// winner's key.
StoredAccount find_or_create_account(Database& database, const AccountOwner& owner, const SealedKey& key);

/// newAccount is not to be sent yet.
struct RegistrationWait {
  Duration wait{};
  std::optional<Failure> refusal{};  ///< of the CA, sent for another row; nothing: another worker asks now
};
/// Called before newAccount is sent under a configuration with the digest `settings`. Nothing: go ahead. One
/// of several workers goes ahead; the others wait for seconds, or after a refusal for a minute at least.
std::optional<RegistrationWait> begin_registration(Database& database, AccountId account,
                                                   const std::string& settings);
/// newAccount was not sent after all, or got no answer.
void registration_unanswered(Database& database, AccountId account);
/// The CA refuses newAccount. Returns for how long nobody asks again, by `schedule`.
Duration registration_refused(Database& database, AccountId account, const Failure& refusal,
                              const std::vector<Duration>& schedule);
/// A worker starts with this CA under a configuration with the digest `settings`. Rows wait because the CA
/// has refused their account. If it did so only under other settings, or at another directory, the rows
/// become due. Returns how many.
std::int64_t settings_in_force(Database& database, const std::string& ca, const std::string& directory,
                               const std::string& settings);
/// The CA has refused to make an account: gives it another key. False: the account has been made, or has
/// another key already.
[[nodiscard]] bool replace_refused_key(Database& database, AccountId account,
                                       const std::string& former_thumbprint, const SealedKey& key);
/// The CA says that the account was deactivated or revoked, which is final.
void account_ended(Database& database, AccountId account, AccountStatus status, const Failure& refusal);

/// What the CA has said about an account.
struct Registration {
  AccountStatus status{};
  std::string url{};
  std::string orders_url{};
  std::vector<std::string> contact{};
};
void account_registered(Database& database, AccountId account, const Registration& registration);
/// True if a public key is any account's (RFC 8555 §11.1).
bool is_account_key(Database& database, const std::string& spki_sha256);

}  // namespace csrq::store
