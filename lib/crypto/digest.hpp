#pragma once

#include <string>
#include <string_view>

namespace csrq::crypto {

/// SHA-256, raw octets.
std::string sha256(std::string_view octets);
/// RFC 2104, raw octets.
std::string hmac_sha256(std::string_view key, std::string_view input);
/// Octets from the operating system's generator.
std::string random_octets(std::size_t count);

}  // namespace csrq::crypto
