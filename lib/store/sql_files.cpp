#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "store/schema_source.hpp"

namespace csrq::store {

#ifdef CSRQ_SQL_SOURCE
namespace {

std::string text_of(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::string text{std::istreambuf_iterator<char>(in), {}};
  if (!in) throw std::runtime_error("cannot read " + file.string());
  return text;
}

std::vector<SqlFile> files_below(const std::filesystem::path& folder) {
  std::vector<SqlFile> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder))
    if (entry.path().extension() == ".sql")
      files.push_back(
          {.name = entry.path().lexically_relative(folder).string(), .text = text_of(entry.path())});
  std::ranges::sort(files, {}, &SqlFile::name);
  return files;
}

}  // namespace

const std::vector<SqlFile>& sql_files() {
  static const std::vector<SqlFile> files = [] {
    const char* named = std::getenv("CSRQ_SQL_DIR");
    return files_below(named ? named : CSRQ_SQL_SOURCE);
  }();
  return files;
}
#else
const std::vector<SqlFile>& sql_files() {
  return embedded_files();
}
#endif

}  // namespace csrq::store
