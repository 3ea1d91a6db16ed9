#pragma once

#include <string_view>

namespace csrq {

/// CAs of which csrq knows more than they say of themselves over ACME.
enum class KnownCa { none, lets_encrypt, lets_encrypt_staging };

/// Told by the URL of the directory.
KnownCa known_ca(std::string_view directory_url);

}  // namespace csrq
