#include "base/secret.hpp"

#include <doctest/doctest.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <type_traits>
#include <utility>

#include "base/error.hpp"

using namespace csrq;

namespace {

/// A folder of its own, gone with the object.
class Folder {
 public:
  Folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "csrq-secret-XXXXXX").string();
    REQUIRE(mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { std::filesystem::remove_all(path_); }

  const std::string& path() const { return path_; }
  std::string file(const std::string& text, mode_t mode) const {
    const std::string path = path_ + "/secret";
    std::ofstream(path, std::ios::binary) << text;
    REQUIRE(chmod(path.c_str(), mode) == 0);
    return path;
  }

 private:
  std::string path_{};
};

std::string refusal(const std::string& path) {
  try {
    read_secret_file(path);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "";
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("wipe overwrites a text up to its capacity and empties it") {
  std::string octets(64, 'k');
  octets.resize(32);
  const char* where = octets.data();
  const std::size_t capacity = octets.capacity();
  Secret::wipe(octets);
  CHECK(octets.empty());
  REQUIRE(octets.data() == where);
  CHECK(std::string(where, capacity) == std::string(capacity, '\0'));
}

TEST_CASE("A secret that was moved from is empty") {
  Secret first(std::string("short"));
  Secret second(std::move(first));
  CHECK(first.empty());  // NOLINT(bugprone-use-after-move): that is the promise
  CHECK(second.reveal() == "short");
  Secret third(std::string(100, 'x'));
  third = std::move(second);
  CHECK(second.empty());  // NOLINT(bugprone-use-after-move)
  CHECK(third.reveal() == "short");
}

TEST_CASE("A secret can be moved but not copied") {
  CHECK(std::is_nothrow_move_constructible_v<Secret>);
  CHECK_FALSE(std::is_copy_constructible_v<Secret>);
  CHECK_FALSE(std::is_copy_assignable_v<Secret>);
}

TEST_CASE("read_secret_file cuts off the white space around a secret") {
  const Folder folder;
  CHECK(read_secret_file(folder.file(" \ts e c r e t\r\n\n", 0600)).reveal() == "s e c r e t");
}

TEST_CASE("read_secret_file takes a file that only its owner may read") {
  const Folder folder;
  CHECK(read_secret_file(folder.file("x", 0400)).reveal() == "x");
}

TEST_CASE("read_secret_file refuses a file that others may touch, with its mode and the remedy") {
  const Folder folder;
  for (const mode_t mode : {0640U, 0620U, 0604U, 0602U, 0610U, 0601U}) {
    CAPTURE(mode);
    const std::string path = folder.file("do-not-show", mode);
    const std::string message = refusal(path);
    CHECK(has(message, path));
    CHECK(has(message, "chmod 600"));
    CHECK_FALSE(has(message, "do-not-show"));
  }
  CHECK(has(refusal(folder.file("x", 0644)), "0644"));
}

TEST_CASE("read_secret_file says what is wrong with") {
  const Folder folder;
  SUBCASE("a missing file") {
    CHECK(has(refusal(folder.path() + "/none"), "No such file"));
  }
  SUBCASE("a folder") {
    CHECK(has(refusal(folder.path()), "not a regular file"));
  }
  SUBCASE("an empty file") {
    CHECK(has(refusal(folder.file(" \n", 0600)), "empty"));
  }
  SUBCASE("a file too large for a secret") {
    CHECK(has(refusal(folder.file(std::string(70'000, 'x'), 0600)), "larger"));
  }
  SUBCASE("a named pipe, without waiting for a writer") {
    const std::string path = folder.path() + "/pipe";
    REQUIRE(mkfifo(path.c_str(), 0600) == 0);
    CHECK(has(refusal(path), "not a regular file"));
  }
}

TEST_CASE("forbid_core_dumps makes the process undumpable") {
  const pid_t child = fork();  // the setting would stay with the test program
  if (child == 0) {
    forbid_core_dumps();
    _exit(prctl(PR_GET_DUMPABLE) == 0 ? 0 : 1);
  }
  REQUIRE(child > 0);
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}
