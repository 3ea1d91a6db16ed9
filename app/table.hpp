#pragma once

#include <iosfwd>
#include <string>
#include <vector>

namespace csrq::app {

/// Columns as wide as their widest cell. Control characters in cells are shown as "?": a hostile name cannot
/// move the cursor.
void print_table(std::ostream& out, const std::vector<std::string>& heads,
                 const std::vector<std::vector<std::string>>& rows);

/// Control characters as "?".
std::string printable(std::string text);

/// At most `width` characters, "…" at the end if it was longer.
std::string shortened(const std::string& text, std::size_t width);

}  // namespace csrq::app
