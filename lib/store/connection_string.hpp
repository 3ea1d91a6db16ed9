#pragma once

#include <string>
#include <string_view>

#include "store/database.hpp"

namespace csrq::store {

/// What libpq is given: options.url with csrq's defaults, which the url may override, and the password of the
/// password file (may be empty), which the url may not.
std::string connection_string(const DatabaseOptions& options, std::string_view password);

/// `message` with `password` and whatever may be a password in `url` replaced by "***". libpq's sentences
/// quote pieces of a malformed url.
std::string without_secrets(std::string message, const std::string& url, std::string_view password);

}  // namespace csrq::store
