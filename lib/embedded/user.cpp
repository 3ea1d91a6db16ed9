#include "embedded/user.hpp"

#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <system_error>

#include "base/error.hpp"

namespace csrq::embedded {

namespace fs = std::filesystem;

namespace {

bool may_enter(const User& user, const fs::path& folder) {
  struct stat status {};
  if (::stat(folder.c_str(), &status) != 0) return false;
  if (status.st_uid == user.uid) return (status.st_mode & S_IXUSR) != 0;
  if (status.st_gid == user.gid) return (status.st_mode & S_IXGRP) != 0;
  return (status.st_mode & S_IXOTH) != 0;
}

}  // namespace

std::optional<User> user_named(const char* name) {
  std::array<char, 16384> texts{};
  passwd entry{};
  passwd* found = nullptr;
  if (::getpwnam_r(name, &entry, texts.data(), texts.size(), &found) != 0 || !found) return std::nullopt;
  return User{.name = name, .uid = entry.pw_uid, .gid = entry.pw_gid};
}

std::optional<User> service_user() {
  if (::geteuid() != 0) return std::nullopt;
  for (const char* name : {"postgres", "nobody"})
    if (const std::optional<User> user = user_named(name)) return user;
  throw UsageError(
      "PostgreSQL refuses to run as root, and there is neither a user postgres nor nobody: run as an "
      "ordinary user");
}

bool may_reach(const User& user, const fs::path& folder) {
  for (fs::path above = folder.parent_path();; above = above.parent_path()) {
    if (!may_enter(user, above)) return false;
    if (above == above.root_path()) return true;
  }
}

void become(const User& user) {
  int death_signal = 0;
  ::prctl(PR_GET_PDEATHSIG, &death_signal);
  const pid_t parent = ::getppid();
  if (::setgroups(1, &user.gid) != 0 || ::setgid(user.gid) != 0 || ::setuid(user.uid) != 0)
    throw std::system_error(errno, std::generic_category(), "cannot become user " + user.name);
  // The change has cleared it.
  ::prctl(PR_SET_PDEATHSIG, death_signal);
  if (death_signal != 0 && ::getppid() != parent) ::raise(death_signal);
}

}  // namespace csrq::embedded
