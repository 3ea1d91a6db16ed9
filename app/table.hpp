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

}  // namespace csrq::app
