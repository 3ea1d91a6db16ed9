#pragma once

#include <optional>
#include <string_view>

#include "base/time.hpp"

namespace csrq::http {

/// RFC 9110 §10.2.3: seconds or an HTTP-date (all three forms), counted from `now`. Past dates are zero;
/// nonsense, negative numbers and overflow are nothing; more than 366 days are cut to 366 days.
std::optional<Duration> parse_retry_after(std::string_view value, Time now);

}  // namespace csrq::http
