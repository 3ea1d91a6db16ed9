#pragma once

#include <chrono>
#include <optional>
#include <string_view>

#include "base/time.hpp"
#include "http/client.hpp"

namespace csrq::http {

/// What a server may ask for at most.
constexpr Duration longest_retry_after = std::chrono::hours(24 * 7);

/// RFC 9110 §10.2.3: seconds or an HTTP-date, counted from `now`. Past dates are zero; nonsense and negative
/// numbers are nothing; more than 7 days, overflow included, are cut to 7 days.
std::optional<Duration> parse_retry_after(std::string_view value, Time now);

/// The longest of an answer's Retry-After headers; nothing if none of them can be read. A date counts from
/// the answer's own Date, since the same clock made both; from `now` if the answer has none.
std::optional<Duration> retry_after_of(const Response& response, Time now);

/// RFC 9110 §5.6.7: all three forms; `now` tells the century of a year of two digits.
std::optional<Time> parse_http_date(std::string_view text, Time now);

}  // namespace csrq::http
