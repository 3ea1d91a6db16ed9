#include "base/this_host.hpp"

#include <unistd.h>

#include <array>

namespace csrq {

std::string name_of_this_host() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown";
}

}  // namespace csrq
