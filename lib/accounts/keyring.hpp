#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "crypto/key.hpp"
#include "crypto/sealed_key.hpp"
#include "store/accounts.hpp"

namespace csrq::accounts {

/// The keys that account keys are sealed with. An account key opens only for the account that it was sealed
/// for, so a row of csrq.acme_account_key that is moved to another account is refused. Immutable.
class Keyring {
 public:
  /// `current` seals. All of them open.
  explicit Keyring(crypto::SealingKey current, std::vector<crypto::SealingKey> previous = {});

  const crypto::SealingKey& current() const { return keys_.front(); }
  /// By SealingKey::id(); null if it is not in the ring.
  const crypto::SealingKey* find(std::string_view id) const;

  store::SealedKey seal(const crypto::PrivateKey& key, const store::AccountOwner& owner) const;
  /// Throws Error{administrative, "sealed_key"} if the ring has no key for it, or if it was sealed for another
  /// account.
  crypto::PrivateKey open(const store::SealedKey& sealed, const store::AccountOwner& owner) const;

 private:
  std::vector<std::string> ids() const;

  std::vector<crypto::SealingKey> keys_;  ///< the current one first
};

}  // namespace csrq::accounts
