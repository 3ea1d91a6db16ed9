#include "base/secret.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <system_error>
#include <utility>

#include "base/error.hpp"

namespace csrq {
namespace {

constexpr std::size_t largest_secret = 64 * 1024;

[[noreturn]] void refuse(const std::string& path, int error) {
  throw UsageError(fmt::format("cannot read {}: {}", path, std::generic_category().message(error)));
}

class File {
 public:
  explicit File(const std::string& path)
      : descriptor_(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
    if (descriptor_ < 0) refuse(path, errno);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() { close(descriptor_); }
  int descriptor() const { return descriptor_; }

 private:
  int descriptor_;
};

void check_kind_and_mode(const File& file, const std::string& path) {
  struct stat status {};
  if (fstat(file.descriptor(), &status) != 0) refuse(path, errno);
  if (!S_ISREG(status.st_mode)) throw UsageError(path + " is not a regular file; a secret is read from one");
  const unsigned mode = status.st_mode & 07777U;
  if ((mode & 077U) != 0)
    throw UsageError(
        fmt::format("{} has mode {:04o}: only its owner may have access to a secret; run: chmod 600 {}", path,
                    mode, path));
}

/// The buffer has its whole size from the start: one that grows would leave copies behind.
std::string read_whole(const File& file, const std::string& path) {
  std::string octets(largest_secret + 1, '\0');
  std::size_t size = 0;
  while (size < octets.size()) {
    const ssize_t got = read(file.descriptor(), octets.data() + size, octets.size() - size);
    if (got == 0) break;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      const int error = errno;
      Secret::wipe(octets);
      refuse(path, error);
    }
    size += static_cast<std::size_t>(got);
  }
  if (size == octets.size()) {
    Secret::wipe(octets);
    throw UsageError(fmt::format("{} is larger than {} octets; that is no secret", path, largest_secret));
  }
  octets.resize(size);
  return octets;
}

}  // namespace

Secret::Secret(Secret&& other) noexcept : octets_(std::move(other.octets_)) {
  wipe(other.octets_);
}

Secret& Secret::operator=(Secret&& other) noexcept {
  if (this == &other) return *this;
  wipe(octets_);
  octets_ = std::move(other.octets_);
  wipe(other.octets_);
  return *this;
}

void Secret::wipe(std::string& octets) noexcept {
  // Up to the capacity: a text that was cut, or moved from, keeps its old octets behind its end.
  octets.resize(octets.capacity());
  explicit_bzero(octets.data(), octets.size());
  octets.clear();
}

Secret read_secret_file(const std::string& path) {
  const File file(path);
  check_kind_and_mode(file, path);
  std::string whole = read_whole(file, path);
  constexpr const char* white_space = " \t\r\n\v\f";
  const std::size_t first = whole.find_first_not_of(white_space);
  if (first == std::string::npos) throw UsageError(path + " is empty; a secret was expected in it");
  Secret secret(whole.substr(first, whole.find_last_not_of(white_space) - first + 1));
  Secret::wipe(whole);
  return secret;
}

void forbid_core_dumps() {
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
    throw std::system_error(errno, std::generic_category(), "cannot forbid core dumps");
}

}  // namespace csrq
