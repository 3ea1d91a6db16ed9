#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace csrq {

/// Length of the printable UTF-8 character at the front of `text`, which is not empty; 0 for what could move
/// a terminal's cursor or reorder what is shown (C0, DEL, C1, line and paragraph separators, bidirectional
/// controls) and for anything that is not UTF-8.
std::size_t printable_length(std::string_view text);

/// With "?" for each character that is not printable.
std::string printable(std::string_view text);

}  // namespace csrq
