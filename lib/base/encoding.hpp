#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace csrq {

/// RFC 4648 §5 without padding, as JWS wants it (RFC 7515 §2).
std::string base64url(std::string_view octets);
/// Refuses padding, white space and any other character.
std::optional<std::string> from_base64url(std::string_view text);

/// RFC 4648 §4 with padding.
std::string base64(std::string_view octets);
/// Skips ASCII white space (as PEM readers do); refuses anything else that is not base64.
std::optional<std::string> from_base64(std::string_view text);

/// As people paste it: either alphabet, padded or not, with ASCII white space anywhere; refuses anything
/// else.
std::optional<std::string> from_any_base64(std::string_view text);

/// Lower-case hexadecimal.
std::string hex(std::string_view octets);

}  // namespace csrq
