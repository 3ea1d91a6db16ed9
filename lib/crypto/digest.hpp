#pragma once

#include <string>
#include <string_view>

namespace csrq::crypto {

/// SHA-256, raw octets.
std::string sha256(std::string_view octets);
/// Octets from the operating system's generator.
std::string random_octets(std::size_t count);

}  // namespace csrq::crypto
