#pragma once

#include <string>
#include <string_view>

namespace csrq {

/// Octets that must not outlive their use: wiped when destroyed or moved from, never copied, never printed.
/// (There is no operator<< and no fmt formatter on purpose.)
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string octets) noexcept : octets_(std::move(octets)) {}
  Secret(Secret&& other) noexcept;
  Secret& operator=(Secret&& other) noexcept;
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  ~Secret() { wipe(octets_); }

  std::string_view reveal() const noexcept { return octets_; }
  bool empty() const noexcept { return octets_.empty(); }

  /// Overwrites the text with zeros in a way the compiler may not leave out, then empties it.
  static void wipe(std::string& octets) noexcept;

 private:
  std::string octets_{};
};

/// Reads a file that only its owner (or root) may read: refuses any permission for group or others, and
/// names the file, its mode and the remedy. Surrounding white space is cut off. Throws UsageError.
Secret read_secret_file(const std::string& path);

/// Keeps secrets out of core dumps and away from other processes of the same user (prctl PR_SET_DUMPABLE 0).
void forbid_core_dumps();

}  // namespace csrq
