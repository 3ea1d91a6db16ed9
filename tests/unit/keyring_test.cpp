#include "accounts/keyring.hpp"

#include <doctest/doctest.h>

#include "base/encoding.hpp"
#include "base/error.hpp"
#include "crypto/jws.hpp"

using namespace csrq;
using accounts::Keyring;
using crypto::PrivateKey;
using crypto::SealingKey;
using store::AccountOwner;

namespace {

SealingKey sealing_key(char octet) {
  return SealingKey(Secret(std::string(32, octet)));
}

const AccountOwner acme{.ca = "any",
                        .directory = "https://ca.example/directory",
                        .policy = AccountPolicy::per_customer,
                        .owner = "acme"};

std::string why_not(const Keyring& keyring, const store::SealedKey& sealed, const AccountOwner& owner) {
  try {
    keyring.open(sealed, owner);
    return {};
  } catch (const Error& error) {
    CHECK(error.failure().code == ErrorCode::sealed_key);
    return error.what();
  }
}

}  // namespace

TEST_CASE("keyring: a key that was sealed by the first release opens") {
  // Written with Python's cryptography: AES-256-GCM of the key of RFC 7515 A.3 (PKCS#8) under 32 times "k",
  // with the nonce "frozen-nonce". Authenticated with it is the octet 0x01, and
  // "csrq account key\nhttps://ca.example/directory\nper_customer\nacme".
  const store::SealedKey frozen{
      .sealing_key_id = sealing_key('k').id(),
      .sealed = *from_base64(
          "AWZyb3plbi1ub25jZYz54hgWwOT6HQdRc24mZ5QHxHHO7756XoWmFgVBuqpx/6vv+jbRwc/OSKYkhS/V3HBWLgs1dUv4BRps"
          "gKMzb8i2Pn60tZTdQtLrak7ZmHGPzE5Ut3Nt4fVKIJ5aCM58ABSrN4I4sqpiP+EiXwtMHeRlECai78wGcfCT8bBLNCA7nG6r"
          "gwhjnlyCJRtgI53pjRBaO/WfoFEfGIY=")};
  const PrivateKey opened = Keyring(sealing_key('k')).open(frozen, acme);
  CHECK(crypto::thumbprint(opened.public_key()) == "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U");
}

TEST_CASE("keyring: what it seals is told by thumbprint and sealing key, and opens for the same account") {
  const Keyring keyring(sealing_key('k'));
  const PrivateKey key = PrivateKey::generate(crypto::KeyType::ec_p256);
  const store::SealedKey sealed = keyring.seal(key, acme);
  CHECK(sealed.thumbprint == crypto::thumbprint(key.public_key()));
  CHECK(sealed.spki_sha256 == key.public_key().spki_sha256());
  CHECK(sealed.sealing_key_id == sealing_key('k').id());
  CHECK(keyring.open(sealed, acme).public_key().spki_sha256() == key.public_key().spki_sha256());
}

TEST_CASE("keyring: a key that was moved to another account does not open") {
  const Keyring keyring(sealing_key('k'));
  const store::SealedKey sealed = keyring.seal(PrivateKey::generate(crypto::KeyType::ec_p256), acme);
  AccountOwner other_owner = acme;
  other_owner.owner = "bob";
  AccountOwner other_policy = acme;
  other_policy.policy = AccountPolicy::shared;
  AccountOwner other_ca = acme;
  other_ca.directory = "https://other.example/directory";
  for (const AccountOwner& owner : {other_owner, other_policy, other_ca})
    CHECK(why_not(keyring, sealed, owner) != "");
}

TEST_CASE("keyring: the current key seals, previous ones open") {
  const PrivateKey key = PrivateKey::generate(crypto::KeyType::ec_p256);
  const store::SealedKey before = Keyring(sealing_key('k')).seal(key, acme);
  std::vector<SealingKey> previous;
  previous.push_back(sealing_key('k'));
  const Keyring keyring(sealing_key('l'), std::move(previous));
  CHECK(keyring.open(before, acme).public_key().spki_sha256() == key.public_key().spki_sha256());
  CHECK(keyring.seal(key, acme).sealing_key_id == sealing_key('l').id());
  CHECK(keyring.find(sealing_key('m').id()) == nullptr);
}

TEST_CASE("keyring: a key whose sealing key is missing is refused with both keys' names") {
  const store::SealedKey sealed =
      Keyring(sealing_key('k')).seal(PrivateKey::generate(crypto::KeyType::ec_p256), acme);
  CHECK(why_not(Keyring(sealing_key('l')), sealed, acme) ==
        "the account of \"acme\" at https://ca.example/directory was sealed with the key " +
            sealing_key('k').id() + ", but this worker has " + sealing_key('l').id() +
            ": give it the file that the other workers use (accounts.sealing_key_file)");
}
