#include "embedded/cluster_folder.hpp"

#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <system_error>
#include <thread>

#include "base/error.hpp"

namespace csrq::embedded {

namespace fs = std::filesystem;

namespace {

/// sockaddr_un has room for 107 characters, of which "/.s.PGSQL.65535.lock" needs 20.
constexpr std::size_t longest_socket_folder = 87;
constexpr std::chrono::seconds patience_with_other_server{15};

std::string cause(int error) {
  return std::generic_category().message(error);
}

/// Whom the server runs as, if not as we do.
std::optional<User> server_user() {
  if (::geteuid() != 0) return std::nullopt;
  for (const char* name : {"postgres", "nobody"})
    if (const passwd* entry = ::getpwnam(name))  // NOLINT(concurrency-mt-unsafe): nothing else looks users up
      return User{.name = name, .uid = entry->pw_uid, .gid = entry->pw_gid};
  throw UsageError(
      "PostgreSQL refuses to run as root, and there is neither a user postgres nor nobody: run as an "
      "ordinary user");
}

bool may_enter(const User& user, const fs::path& folder) {
  struct stat status {};
  if (::stat(folder.c_str(), &status) != 0) return false;
  if (status.st_uid == user.uid) return (status.st_mode & S_IXUSR) != 0;
  if (status.st_gid == user.gid) return (status.st_mode & S_IXGRP) != 0;
  return (status.st_mode & S_IXOTH) != 0;
}

bool may_reach(const User& user, const fs::path& folder) {
  for (fs::path above = folder.parent_path();; above = above.parent_path()) {
    if (!may_enter(user, above)) return false;
    if (above == above.root_path()) return true;
  }
}

/// libpq takes a comma in a host for the end of one of several.
bool fit_for_socket(const fs::path& folder) {
  return folder.string().size() <= longest_socket_folder && folder.string().find(',') == std::string::npos;
}

fs::path make_short_folder() {
  std::string name = "/tmp/csrq-XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) throw UsageError("cannot make a folder in /tmp: " + cause(errno));
  return name;
}

/// A process whose working directory is `folder`, however it calls it; 0 if there is none.
int process_in(const fs::path& folder) {
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator("/proc", ignored)) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") == std::string::npos &&
        fs::equivalent(entry.path() / "cwd", folder, ignored))
      return std::stoi(name);
  }
  return 0;
}

}  // namespace

ClusterFolder::ClusterFolder(const std::string& folder)
    : folder_(fs::weakly_canonical(fs::absolute(folder))), user_(server_user()), socket_(folder_ / "socket") {
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error) throw UsageError("cannot make the folder " + folder_.string() + ": " + error.message());
  check_owner();
  hand_over(folder_);
  const bool reachable = !user_ || may_reach(*user_, folder_);
  if (!reachable || !fit_for_socket(socket_)) use_short_folder();
  make_folder(socket_);
  if (!reachable) open_for_server();
}

ClusterFolder::~ClusterFolder() {
  if (descriptor_) ::close(*descriptor_);
  if (short_folder_.empty()) return;
  std::error_code ignored;
  fs::remove_all(socket_, ignored);
  fs::remove(short_folder_, ignored);
}

void ClusterFolder::use_short_folder() {
  short_folder_ = make_short_folder();
  hand_over(short_folder_);
  socket_ = short_folder_ / "socket";
}

void ClusterFolder::open_for_server() {
  const int descriptor = ::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) throw UsageError("cannot open the folder " + folder_.string() + ": " + cause(errno));
  descriptor_ = descriptor;
}

std::string ClusterFolder::as_seen(const fs::path& file) const {
  if (!descriptor_) return file;
  return "/proc/self/fd" / fs::path(std::to_string(*descriptor_)) / fs::relative(file, folder_);
}

ProcessOptions ClusterFolder::program(std::vector<std::string> command) const {
  return {.command = std::move(command),
          .environment = {{"LC_ALL", "C.UTF-8"}},
          .working_directory = "/",
          .user = user_,
          .descriptor = descriptor_};
}

void ClusterFolder::make_folder(const fs::path& folder) const {
  std::error_code error;
  fs::create_directory(folder, error);
  if (!error) fs::permissions(folder, fs::perms::owner_all, error);
  if (error) throw UsageError("cannot make the folder " + folder.string() + ": " + error.message());
  hand_over(folder);
}

void ClusterFolder::hand_over(const fs::path& file) const {
  if (user_ && ::lchown(file.c_str(), user_->uid, user_->gid) != 0)
    throw UsageError("cannot hand " + file.string() + " to user " + user_->name + " (" + cause(errno) +
                     "), and PostgreSQL refuses to run as root: run as an ordinary user");
}

void ClusterFolder::check_owner() const {
  struct stat status {};
  const uid_t expected = user_ ? user_->uid : ::geteuid();
  if (::lstat(data().c_str(), &status) != 0 || status.st_uid == expected) return;
  throw UsageError(data().string() + " belongs to another user (id " + std::to_string(status.st_uid) +
                   "): run as the user who made it, or choose another folder");
}

void wait_until_unused(const fs::path& data) {
  const auto until = std::chrono::steady_clock::now() + patience_with_other_server;
  while (const int process = process_in(data)) {
    if (std::chrono::steady_clock::now() > until)
      throw UsageError("process " + std::to_string(process) + " already uses " + data.string() +
                       ": stop it, or choose another folder");
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  std::error_code ignored;
  fs::remove(data / "postmaster.pid", ignored);
}

}  // namespace csrq::embedded
