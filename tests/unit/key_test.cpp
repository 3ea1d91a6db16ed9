#include "crypto/key.hpp"

#include <doctest/doctest.h>

#include "base/encoding.hpp"
#include "base/error.hpp"
#include "crypto/digest.hpp"
#include "crypto/pem.hpp"

using namespace csrq;
using crypto::KeyType;
using crypto::PrivateKey;

TEST_CASE("a key written as PKCS#8 is read back as the same key, from DER and from PEM") {
  for (const KeyType type : {KeyType::ec_p256, KeyType::ec_p384, KeyType::rsa_2048}) {
    const PrivateKey key = PrivateKey::generate(type);
    const Secret der = key.to_der();
    CHECK(PrivateKey::from_text(der.reveal()).public_key().spki_sha256() == key.public_key().spki_sha256());
    CHECK(PrivateKey::from_text(crypto::pem_of("PRIVATE KEY", der.reveal())).public_key().spki_sha256() ==
          key.public_key().spki_sha256());
  }
}

TEST_CASE("two generated keys differ") {
  CHECK(PrivateKey::generate(KeyType::ec_p256).public_key().spki_sha256() !=
        PrivateKey::generate(KeyType::ec_p256).public_key().spki_sha256());
}

TEST_CASE("what is no usable account key is refused without a word of its text") {
  CHECK_THROWS_WITH_AS(PrivateKey::from_text("hunter2"),
                       "the account key cannot be read: it must be PKCS#8, PEM or DER, and not encrypted",
                       UsageError);
  CHECK_THROWS_AS(PrivateKey::from_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
                  UsageError);
  // openssl genpkey -algorithm ed25519
  CHECK_THROWS_WITH_AS(
      PrivateKey::from_text(crypto::pem_of(
          "PRIVATE KEY", *from_base64("MC4CAQAwBQYDK2VwBCIEIL5K9cZNO4c5tDtfxvYaDTN9r5EKgU6Y1dE5gGJ1Lh6P"))),
      "the account key is of a kind that csrq does not sign with: use P-256, P-384, or RSA of at least 2048 "
      "bits",
      UsageError);
}

TEST_CASE("SHA-256 of \"abc\" is that of FIPS 180-4") {
  CHECK(hex(crypto::sha256("abc")) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}
