#pragma once

#include "acme/account.hpp"

namespace csrq {
struct CaConfig;
}  // namespace csrq

namespace csrq::cas {

/// Reads the MAC key that the CA gave: base64url or base64, padded or not, with white space anywhere. Throws
/// UsageError naming file, setting and remedy.
acme::ExternalAccountBinding read_external_account_binding(const CaConfig& ca);

/// The octets of the key are base64 themselves, as where somebody encoded once more what the CA gave.
bool is_encoded_twice(const acme::ExternalAccountBinding& binding);

}  // namespace csrq::cas
