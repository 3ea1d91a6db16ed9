#pragma once

#include <string>
#include <string_view>

#include "crypto/key.hpp"

/// JSON Web Signatures as RFC 8555 §6.2 uses them: flattened JSON serialization (RFC 7515 §7.2.2).
namespace csrq::crypto {

/// The public key as a JWK (RFC 7517), members in the lexicographic order that RFC 7638 wants.
std::string jwk(const PublicKey& key);
/// RFC 7638: base64url(SHA-256(jwk)). The account part of a key authorization (RFC 8555 §8.1).
std::string thumbprint(const PublicKey& key);

/// What goes into the protected header beside `alg`. Exactly one of jwk (kid empty) and kid is sent.
struct JwsHeader {
  std::string_view url{};
  std::string_view nonce{};  ///< empty: none, as in the inner JWS of a key change (RFC 8555 §7.3.5)
  std::string_view kid{};    ///< the account URL; empty: the header carries the key's `jwk`
};

/// The request body. An empty payload is POST-as-GET (RFC 8555 §6.3).
std::string sign(const SigningKey& key, const JwsHeader& header, std::string_view payload);

/// RFC 8555 §7.3.4: the externalAccountBinding object, HS256 over the account key's JWK. `mac_key`: raw
/// octets.
std::string external_account_binding(std::string_view account_jwk, std::string_view kid,
                                     std::string_view mac_key, std::string_view new_account_url);

}  // namespace csrq::crypto
