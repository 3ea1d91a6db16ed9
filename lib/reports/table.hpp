#pragma once

#include <cstddef>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "reports/value.hpp"

/// Text for a terminal or a file. It depends on no locale. What a value brings along is made printable
/// (base/printable.hpp): a hostile name cannot move the cursor.
namespace csrq::reports {

constexpr std::size_t unlimited = std::numeric_limits<std::size_t>::max();

/// How much of a time people are shown: "2026-11-30 03:45", "… 03:45:56", "… 03:45:56.123".
constexpr std::size_t to_the_minute = 16;
constexpr std::size_t to_the_second = 19;
constexpr std::size_t to_the_millisecond = 23;

/// The value for people, in at most `widest` columns of a terminal; NULL is empty. A text that is too long
/// ends with "…". A time without a limit is RFC 3339. Of a list, one with a limit: two elements if there is
/// room for them, else one, and how many more there are.
std::string shown(const Value& value, std::size_t widest = unlimited);

/// An RFC 3339 time as shown() has it.
std::string shown_time(std::string_view rfc3339, std::size_t width = to_the_second);

/// Cells that are printable.
using TableLine = std::vector<std::string>;
/// Each column as wide as its widest cell. No line ends with a blank.
std::string aligned(const std::vector<TableLine>& lines);

}  // namespace csrq::reports
