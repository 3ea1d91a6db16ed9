#pragma once

#include <filesystem>
#include <string>

namespace csrq::test {

/// The root of the tree that this program was built from.
std::filesystem::path source_folder();

/// Where it was built: the folder of the `csrq` beside it.
std::filesystem::path build_folder();

/// A new folder in $TMPDIR, or else in the folder of that name where this program was built. A PostgreSQL
/// that runs as another user gets through it. Whoever asks removes it.
std::filesystem::path make_temporary_folder(const std::string& name);

}  // namespace csrq::test
