#pragma once

#include <string>
#include <vector>

namespace csrq {

/// "a, b, c"; empty for none.
std::string joined(const std::vector<std::string>& words);

}  // namespace csrq
