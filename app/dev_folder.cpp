#include "app/dev_folder.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <optional>
#include <system_error>
#include <vector>

#include "base/encoding.hpp"
#include "base/error.hpp"
#include "base/log.hpp"
#include "base/secret.hpp"
#include "crypto/digest.hpp"
#include "embedded/user.hpp"

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

/// What is written here, or handed over, must not be a file elsewhere under another name.
void check_entry(const fs::path& file, const std::optional<embedded::User>& user) {
  struct stat status {};
  if (::lstat(file.c_str(), &status) != 0) refuse(file, cause());
  if (S_ISLNK(status.st_mode) || (S_ISREG(status.st_mode) && status.st_nlink > 1))
    throw UsageError(file.string() +
                     " is a link: `csrq dev` follows none. Remove it, or choose another folder "
                     "with --folder");
  if (status.st_uid != ::geteuid() && (!user || status.st_uid != user->uid))
    refuse(file, "it belongs to user id " + std::to_string(status.st_uid));
}

void hand_over(const fs::path& file, const embedded::User& user) {
  if (::lchown(file.c_str(), user.uid, user.gid) != 0) refuse(file, cause());
}

/// Root becomes the user that PostgreSQL would run as anyway, with all that it has in the folder.
void leave_root(const std::vector<fs::path>& entries, const embedded::User& user) {
  const fs::path folder = fs::canonical(entries.front());
  if (!embedded::may_reach(user, folder)) {
    log::warning("all but PostgreSQL runs as root, since another user cannot get into the folder",
                 {{"folder", folder.string()}, {"user", user.name}});
    return;
  }
  for (const fs::path& entry : entries) hand_over(entry, user);
  embedded::become(user);
}

/// The folder, and what `csrq dev` writes in it; not what only PostgreSQL does.
std::vector<fs::path> entries_of(const fs::path& folder) {
  std::vector<fs::path> entries{folder};
  for (const char* name : {"lock", "csrq.yaml", "password", "app_password", "pgpass", "sealing.key", "ca.pem",
                           "root.pem", "postgresql", "pebble"})
    if (fs::exists(fs::symlink_status(folder / name))) entries.push_back(folder / name);
  if (fs::is_directory(fs::symlink_status(folder / "pebble")))
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder / "pebble"))
      entries.push_back(entry.path());
  return entries;
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
  const std::optional<embedded::User> user = embedded::service_user();
  const std::vector<fs::path> entries = entries_of(path_);
  for (const fs::path& entry : entries) check_entry(entry, user);
  if (user) leave_root(entries, *user);
  const fs::path lock = file("lock");
  lock_ = ::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
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
