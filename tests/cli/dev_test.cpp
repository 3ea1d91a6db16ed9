#include <doctest/doctest.h>

#include <filesystem>

#include "cli/cli_fixture.hpp"

using namespace csrq;
using namespace csrq::test;

namespace fs = std::filesystem;

namespace {

/// A folder for `csrq dev` with a link in it that leads out of it, to a file which must stay as it is.
struct LinkedFolder {
  explicit LinkedFolder(const std::string& name) {
    fs::create_directories((folder / name).parent_path());
    write_file(victim, "precious");
  }
  void expect_refusal() const {
    const embedded::Outcome outcome = run_csrq({"dev", "--folder", folder});
    CHECK(outcome.exit_code == 2);
    CHECK_MESSAGE(says(outcome.output, "is a link: `csrq dev` follows none"), outcome.output);
    CHECK(read_file(victim) == "precious");
  }

  fs::path folder{fresh_folder() / "dev"};
  fs::path victim{fresh_folder() / "victim"};
};

}  // namespace

TEST_CASE("csrq dev follows no symbolic link in its folder, nor a hard one") {
  for (const std::string name : {"lock", "csrq.yaml", "pebble/pebble.json", "postgresql"}) {
    CAPTURE(name);
    const LinkedFolder symbolic(name);
    fs::create_symlink(symbolic.victim, symbolic.folder / name);
    symbolic.expect_refusal();
    const LinkedFolder hard(name);
    fs::create_hard_link(hard.victim, hard.folder / name);
    hard.expect_refusal();
  }
}

TEST_CASE("csrq dev takes no link for its folder") {
  const LinkedFolder linked("x");
  const fs::path elsewhere = fresh_folder();
  fs::remove(linked.folder);
  fs::create_directory_symlink(elsewhere, linked.folder);
  linked.expect_refusal();
  CHECK(fs::is_empty(elsewhere));
}
