// Holds the code to the map of ARCHITECTURE.md, which is all that this test knows of the house.

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "support/folders.hpp"

using namespace csrq;
namespace fs = std::filesystem;

namespace {

using Names = std::set<std::string>;

/// A row of the map: a folder and those that it may use, or headers of another project and where they stay.
struct Row {
  std::string place{};             ///< "ARCHITECTURE.md:48"
  std::string path{};              ///< "lib/acme", "<openssl/"
  std::optional<Names> folders{};  ///< none: everything

  std::string name() const { return fs::path(path).filename(); }
  bool allows(const std::string& folder) const { return !folders || folders->contains(folder); }
};

struct Include {
  std::string place{};   ///< "lib/acme/order.cpp:7"
  std::string folder{};  ///< that includes: "acme"
  std::string header{};  ///< "http/client.hpp", "<curl/curl.h>"

  bool is_ours() const { return !header.starts_with('<'); }
  std::string used_folder() const { return header.substr(0, header.find('/')); }
};

/// By the file that includes, named as others include it: "acme/order.hpp".
using Includes = std::multimap<std::string, Include>;

std::vector<std::string> lines_of(const fs::path& file) {
  std::ifstream in(test::source_folder() / file);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  REQUIRE_MESSAGE(!lines.empty(), "cannot read " << file);
  return lines;
}

/// The first group of all that `pattern` finds in `text`.
std::vector<std::string> found_in(const std::string& text, const std::string& pattern) {
  const std::regex regex(pattern);
  std::vector<std::string> found;
  for (std::sregex_iterator match(text.begin(), text.end(), regex), end; match != end; ++match)
    found.push_back((*match)[1]);
  return found;
}

std::optional<Names> folders_in(const std::string& cell) {
  if (cell == "everything") return std::nullopt;
  if (cell == "nothing of ours") return Names{};
  const std::vector<std::string> words = found_in(cell, "([^, ]+)");
  return Names(words.begin(), words.end());
}

/// From the map's tables, a row for each thing that `pattern` finds in a first cell.
std::vector<Row> rows_of_map(const std::string& pattern) {
  std::vector<Row> rows;
  const std::vector<std::string> lines = lines_of("ARCHITECTURE.md");
  const std::regex table_row(R"(\| (`[^|]*`) \|.*\| ([^|]+) \|)");
  for (std::size_t i = 0; i < lines.size(); ++i)
    if (std::smatch cells; std::regex_match(lines[i], cells, table_row))
      for (const std::string& path : found_in(cells[1], pattern))
        rows.push_back({"ARCHITECTURE.md:" + std::to_string(i + 1), path, folders_in(cells[2])});
  REQUIRE(!rows.empty());
  return rows;
}

/// From the top floor down.
const std::vector<Row>& folders_of_map() {
  static const std::vector<Row> rows = rows_of_map("`(lib/[a-z]+|workers|app)/`");
  return rows;
}

const std::vector<Row>& foreign_headers_of_map() {
  static const std::vector<Row> rows = rows_of_map("`(<[^…>]+>?)");
  return rows;
}

const Row* row_of(const std::string& folder) {
  const auto row = std::ranges::find(folders_of_map(), folder, &Row::name);
  return row == folders_of_map().end() ? nullptr : &*row;
}

void read_folder(const fs::path& folder, const fs::path& include_path, Includes& includes) {
  const std::regex directive(R"re(#include (?:"([^"]+)"|(<[^>]+>)).*)re");
  for (const auto& entry : fs::directory_iterator(test::source_folder() / folder)) {
    const fs::path file = folder / entry.path().filename();
    if (file.extension() != ".hpp" && file.extension() != ".cpp") continue;
    const std::vector<std::string> lines = lines_of(file);
    for (std::size_t i = 0; i < lines.size(); ++i)
      if (std::smatch match; std::regex_match(lines[i], match, directive))
        includes.insert(
            {file.lexically_relative(include_path),
             {file.string() + ":" + std::to_string(i + 1), folder.filename(), match.str(1) + match.str(2)}});
  }
}

const Includes& all_includes() {
  static const Includes all = [] {
    Includes includes;
    read_folder("app", "", includes);
    read_folder("workers", "", includes);
    for (const auto& entry : fs::directory_iterator(test::source_folder() / "lib"))
      if (entry.is_directory()) read_folder("lib" / entry.path().filename(), "lib", includes);
    return includes;
  }();
  return all;
}

bool includes_any(const std::string& folder, const std::string& prefix) {
  return std::ranges::any_of(all_includes(), [&](const auto& one) {
    return one.second.folder == folder && one.second.header.starts_with(prefix);
  });
}

/// `header` and all that comes with it.
void collect(const std::string& header, Names& reached) {
  if (!reached.insert(header).second) return;
  const auto [begin, end] = all_includes().equal_range(header);
  for (auto one = begin; one != end; ++one) collect(one->second.header, reached);
}

}  // namespace

TEST_CASE("a folder includes what the map allows, and nothing else") {
  for (const auto& [file, include] : all_includes()) {
    if (!include.is_ours()) continue;
    const std::string used = include.used_folder();
    const Row* row = row_of(include.folder);
    REQUIRE_MESSAGE(row != nullptr, include.place << ": the map has no row for " << include.folder);
    REQUIRE_MESSAGE(row_of(used) != nullptr, include.place << ": the map has no row for " << used);
    const bool may_use = used == include.folder || row->allows(used);
    CHECK_MESSAGE(
        may_use, include.place << ": " << include.folder << " may not use " << used << ", by " << row->place);
  }
}

TEST_CASE("headers of other projects stay in their folders, and none of our headers carries them out") {
  for (const auto& [file, include] : all_includes()) {
    Names reached;
    collect(include.header, reached);
    for (const Row& row : foreign_headers_of_map()) {
      const auto is_of_row = [&](const std::string& header) { return header.starts_with(row.path); };
      const bool may_see = row.allows(include.folder) || std::ranges::none_of(reached, is_of_row);
      CHECK_MESSAGE(may_see, include.place << ": " << include.folder << " may not see " << row.path << ", by "
                                           << row.place);
    }
  }
}

TEST_CASE("the map names all other projects whose headers have a folder, but for the system's") {
  const std::regex of_the_system("<([^/]+|(arpa|netinet|sys)/.*)>");
  for (const auto& [file, include] : all_includes()) {
    const auto is_of = [&](const Row& row) { return include.header.starts_with(row.path); };
    const bool is_known = include.is_ours() || std::regex_match(include.header, of_the_system) ||
                          std::ranges::any_of(foreign_headers_of_map(), is_of);
    CHECK_MESSAGE(is_known, include.place << ": the map has no row for " << include.header);
  }
}

TEST_CASE("every arrow of the map points downward, and is used") {
  Names above;
  for (const Row& row : folders_of_map()) {
    above.insert(row.name());
    for (const std::string& used : row.folders.value_or(Names{})) {
      CHECK_MESSAGE(!above.contains(used), row.place << ": " << used << " does not stand below " << row.path);
      CHECK_MESSAGE(includes_any(row.name(), used + "/"),
                    row.place << ": nothing in " << row.path << " uses " << used);
    }
  }
  for (const Row& row : foreign_headers_of_map())
    for (const std::string& user : row.folders.value_or(Names{}))
      CHECK_MESSAGE(includes_any(user, row.path),
                    row.place << ": nothing in " << user << " includes " << row.path);
}

TEST_CASE("a target links the folders that the map allows, and nothing else") {
  for (const Row& row : folders_of_map()) {
    if (!row.folders) continue;
    const std::string file = row.path + "/CMakeLists.txt";
    std::string text;
    for (const std::string& line : lines_of(file)) text += line + "\n";
    Names linked;
    for (const std::string& list : found_in(text, R"(target_link_libraries\(csrq_\w+([^)]*)\))"))
      for (const std::string& target : found_in(list, R"(csrq_(\w+))")) linked.insert(target);
    CHECK_MESSAGE(linked == *row.folders, file << " does not link what " << row.place << " names");
  }
}
