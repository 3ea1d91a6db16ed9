#include "support/folders.hpp"

#include <stdlib.h>

#include <cstdlib>
#include <stdexcept>

namespace csrq::test {

namespace fs = std::filesystem;

fs::path source_folder() {
  return CSRQ_SOURCE_DIR;
}

fs::path build_folder() {
  return CSRQ_BINARY_DIR;
}

fs::path make_temporary_folder(const std::string& name) {
  const char* temporary =
      std::getenv("TMPDIR");  // NOLINT(concurrency-mt-unsafe): nothing sets the environment
  const fs::path parent =
      temporary != nullptr && *temporary != '\0' ? fs::path(temporary) : build_folder() / name;
  fs::create_directories(parent);
  std::string path = parent / "run-XXXXXX";
  if (::mkdtemp(path.data()) == nullptr)
    throw std::runtime_error("cannot make a folder in " + parent.string());
  fs::permissions(path, fs::perms::others_exec, fs::perm_options::add);
  return path;
}

}  // namespace csrq::test
