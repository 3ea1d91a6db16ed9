#include "support/folders.hpp"

namespace csrq::test {

std::filesystem::path source_folder() {
  return CSRQ_SOURCE_DIR;
}

std::filesystem::path build_folder() {
  return CSRQ_BINARY_DIR;
}

}  // namespace csrq::test
