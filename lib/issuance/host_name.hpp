#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/error_code.hpp"

namespace csrq::issuance {

/// What keeps a name from being certified as a DNS name.
struct NameFault {
  ErrorCode code{};      ///< not_ascii, trailing_dot, empty_label, long_label, long_name, underscore, …
  std::string detail{};  ///< a sentence that shows the name harmlessly
};

/// Nothing: `name`, in lower case, is a host name (RFC 1123 §2.1) or a wildcard, "*." before one of two
/// labels or more.
std::optional<NameFault> fault_of_name(std::string_view name);

/// A name as it may be shown: a hostile CSR can hold anything.
std::string shown(std::string_view name);

}  // namespace csrq::issuance
