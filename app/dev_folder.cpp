#include "app/dev_folder.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <system_error>

#include "base/encoding.hpp"
#include "base/error.hpp"
#include "base/secret.hpp"
#include "crypto/digest.hpp"

namespace csrq::app {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t password_octets = 18;

std::string cause() {
  return std::generic_category().message(errno);
}

[[noreturn]] void refuse(const fs::path& file, const std::string& cause) {
  throw UsageError(file.string() + " cannot be written (" + cause +
                   "): run as the user who made the folder, or choose another with --folder");
}

void write_file(const fs::path& file, const std::string& text, mode_t mode) {
  const fs::path draft = file.string() + ".new";  // renamed when complete: others read it at any time
  fs::remove(draft);
  const int descriptor = ::open(draft.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  if (descriptor < 0) refuse(file, cause());
  const bool written = ::write(descriptor, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  ::close(descriptor);
  if (!written) refuse(file, cause());
  fs::rename(draft, file);
}

std::string holder_of(const fs::path& lock) {
  std::string process;
  std::ifstream(lock) >> process;
  return process.empty() ? "" : " (process " + process + ")";
}

}  // namespace

DevFolder::DevFolder(const std::string& path) : path_(path) {
  std::error_code error;
  fs::create_directories(path_, error);
  if (error) throw UsageError("cannot make the folder " + path + ": " + error.message());
  const fs::path lock = file("lock");
  lock_ = ::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock_ < 0) refuse(lock, cause());
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    ::close(lock_);
    throw UsageError("`csrq dev` runs in " + path + " already" + holder_of(lock) +
                     ": use that one, stop it, or choose another folder with --folder");
  }
  const std::string process = std::to_string(::getpid()) + "\n";
  if (::ftruncate(lock_, 0) != 0 ||
      ::pwrite(lock_, process.data(), process.size(), 0) != static_cast<ssize_t>(process.size())) {
    ::close(lock_);
    refuse(lock, cause());
  }
}

DevFolder::~DevFolder() {
  ::close(lock_);
}

void DevFolder::write(const std::string& name, const std::string& text) const {
  write_file(file(name), text, 0644);
}

void DevFolder::write_private(const std::string& name, const std::string& text) const {
  write_file(file(name), text, 0600);
}

std::string DevFolder::password(const std::string& name) const {
  if (!fs::exists(file(name))) write_private(name, base64url(crypto::random_octets(password_octets)) + "\n");
  return std::string(read_secret_file(file(name)).reveal());
}

}  // namespace csrq::app
