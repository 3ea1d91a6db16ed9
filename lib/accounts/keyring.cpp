#include "accounts/keyring.hpp"

#include <algorithm>

#include "accounts/owner.hpp"
#include "base/error.hpp"
#include "base/text.hpp"
#include "crypto/jws.hpp"

namespace csrq::accounts {
namespace {

/// Authenticated with the key. It is built of names alone, so that what was sealed once opens in every later
/// version.
std::string sealing_context(const store::AccountOwner& owner) {
  return "csrq account key\n" + owner.directory + "\n" + std::string(policy_name(owner.policy)) + "\n" +
         owner.owner;
}

}  // namespace

Keyring::Keyring(crypto::SealingKey current, std::vector<crypto::SealingKey> previous)
    : keys_(std::move(previous)) {
  keys_.insert(keys_.begin(), std::move(current));
}

const crypto::SealingKey* Keyring::find(std::string_view id) const {
  const auto found = std::ranges::find(keys_, id, &crypto::SealingKey::id);
  return found == keys_.end() ? nullptr : &*found;
}

std::vector<std::string> Keyring::ids() const {
  std::vector<std::string> ids;
  ids.reserve(keys_.size());
  for (const crypto::SealingKey& key : keys_) ids.push_back(key.id());
  return ids;
}

store::SealedKey Keyring::seal(const crypto::PrivateKey& key, const store::AccountOwner& owner) const {
  return {.thumbprint = crypto::thumbprint(key.public_key()),
          .spki_sha256 = key.public_key().spki_sha256(),
          .sealing_key_id = current().id(),
          .sealed = current().seal(key.to_der().reveal(), sealing_context(owner))};
}

crypto::PrivateKey Keyring::open(const store::SealedKey& sealed, const store::AccountOwner& owner) const {
  const crypto::SealingKey* key = find(sealed.sealing_key_id);
  if (!key)
    fail(FailureClass::administrative, ErrorCode::sealed_key,
         described(owner) + " was sealed with the key " + sealed.sealing_key_id + ", but this worker has " +
             joined(ids()) + ": give it the file that the other workers use (accounts.sealing_key_file)");
  return crypto::PrivateKey::from_text(key->open(sealed.sealed, sealing_context(owner)).reveal());
}

}  // namespace csrq::accounts
