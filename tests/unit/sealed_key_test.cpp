#include "crypto/sealed_key.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/error.hpp"

using namespace csrq;
using crypto::SealingKey;
namespace fs = std::filesystem;

namespace {

SealingKey key_of(char octet) {
  return SealingKey(Secret(std::string(32, octet)));
}

class Folder {
 public:
  Folder() {
    std::string name = fs::temp_directory_path() / "csrq-XXXXXX";
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~Folder() { fs::remove_all(path_); }
  std::string file(const char* name) const { return path_ / name; }

 private:
  fs::path path_;
};

std::string code_of(const SealingKey& key, const std::string& sealed, const std::string& context) {
  try {
    key.open(sealed, context);
    return {};
  } catch (const Error& error) {
    return error.failure().code;
  }
}

}  // namespace

TEST_CASE("what was sealed is opened again, and is sealed differently each time") {
  const SealingKey key = key_of('k');
  const std::string sealed = key.seal("the key", "account 1");
  CHECK(key.open(sealed, "account 1").reveal() == "the key");
  CHECK(sealed != key.seal("the key", "account 1"));
  CHECK(sealed.front() == '\x01');
  CHECK(sealed.size() == 1 + 12 + 7 + 16);
  CHECK(sealed.find("the key") == std::string::npos);
}

TEST_CASE("a sealed key does not open with another key, for another account, or after any change") {
  const SealingKey key = key_of('k');
  const std::string sealed = key.seal("the key", "account 1");
  CHECK(code_of(key_of('l'), sealed, "account 1") == "sealed_key");
  CHECK(code_of(key, sealed, "account 2") == "sealed_key");
  for (std::size_t at = 0; at < sealed.size(); ++at) {
    std::string changed = sealed;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    CHECK(code_of(key, changed, "account 1") == "sealed_key");
  }
  CHECK(code_of(key, sealed.substr(0, sealed.size() - 1), "account 1") == "sealed_key");
  CHECK(code_of(key, sealed.substr(0, 20), "account 1") == "sealed_key");
  CHECK(code_of(key, {}, "account 1") == "sealed_key");
}

TEST_CASE("a sealing key is named by its hash, not by itself") {
  // printf 'csrq sealing key%s' "$(printf 'k%.0s' {1..32})" | sha256sum | cut -c -16
  CHECK(key_of('k').id() == "fd9c021ac856e825");
  CHECK(key_of('k').id() != key_of('l').id());
}

TEST_CASE("a written sealing key can be read, only by its owner, and is never overwritten") {
  const Folder folder;
  const std::string path = folder.file("sealing.key");
  crypto::write_sealing_key(path);
  struct stat facts {};
  REQUIRE(::stat(path.c_str(), &facts) == 0);
  CHECK((facts.st_mode & 0777) == 0600);
  const std::string id = SealingKey::from_file(path).id();
  CHECK_THROWS_AS(crypto::write_sealing_key(path), UsageError);
  CHECK(SealingKey::from_file(path).id() == id);
}

TEST_CASE("a file that holds no sealing key is refused by name") {
  const Folder folder;
  const std::string path = folder.file("short.key");
  std::ofstream(path) << "c2hvcnQ=\n";
  fs::permissions(path, fs::perms::owner_read);
  CHECK_THROWS_WITH_AS(
      SealingKey::from_file(path),
      (path + ": a sealing key is 32 octets in base64; `csrq keygen FILE` makes such a file").c_str(),
      UsageError);
  CHECK_THROWS_AS(SealingKey::from_file(folder.file("missing.key")), UsageError);
  CHECK_THROWS_AS(SealingKey(Secret("short")), UsageError);
}
