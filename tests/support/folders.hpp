#pragma once

#include <filesystem>

namespace csrq::test {

/// The root of the tree that this program was built from.
std::filesystem::path source_folder();

/// Where it was built: the folder of the `csrq` beside it.
std::filesystem::path build_folder();

}  // namespace csrq::test
