#pragma once

#include <iosfwd>
#include <string>
#include <vector>

namespace csrq::app {

/// Columns as wide as their widest cell. Cells are made printable (base/printable.hpp): a hostile name cannot
/// move the cursor.
void print_table(std::ostream& out, const std::vector<std::string>& heads,
                 std::vector<std::vector<std::string>> rows);

/// At most `width` characters, "…" at the end if it was longer.
std::string shortened(const std::string& text, std::size_t width);

/// An RFC 3339 time as people read it, "2026-11-30 03:45:56": its first `width` characters.
std::string shown_time(const std::string& time, std::size_t width = 19);

}  // namespace csrq::app
