#pragma once

#include <string>

namespace csrq {

/// As gethostname(2) has it; "unknown" if it does not say.
std::string name_of_this_host();

}  // namespace csrq
