#include "crypto/digest.hpp"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include "crypto/openssl.hpp"

namespace csrq::crypto {

std::string sha256(std::string_view octets) {
  std::string digest(32, '\0');
  check(EVP_Digest(octets.data(), octets.size(), octets_of(digest), nullptr, EVP_sha256(), nullptr),
        "SHA-256");
  return digest;
}

std::string hmac_sha256(std::string_view key, std::string_view input) {
  std::string mac(32, '\0');
  unsigned int length = 0;
  const unsigned char* made = HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), octets_of(input),
                                   input.size(), octets_of(mac), &length);
  check(made ? 1 : 0, "HMAC");
  return mac;
}

std::string random_octets(std::size_t count) {
  std::string octets(count, '\0');
  check(RAND_bytes(octets_of(octets), static_cast<int>(count)), "the random number generator");
  return octets;
}

}  // namespace csrq::crypto
