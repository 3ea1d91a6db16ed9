#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/config.hpp"
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
