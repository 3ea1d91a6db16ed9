#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "embedded/process.hpp"

namespace csrq::embedded {

/// The files of a cluster, the user they belong to, and how the server calls them. If this user may not enter
/// a folder on the way (/root, say), the server inherits the folder as an open descriptor, and gets in by the
/// descriptor's name in /proc.
class ClusterFolder {
 public:
  /// Makes the folder and, as root, hands it to the user. Throws UsageError naming folder and remedy.
  explicit ClusterFolder(const std::string& folder);
  ~ClusterFolder();  ///< removes what was made outside the folder
  ClusterFolder(const ClusterFolder&) = delete;
  ClusterFolder& operator=(const ClusterFolder&) = delete;

  std::filesystem::path data() const { return folder_ / "data"; }
  std::filesystem::path draft() const {
    return folder_ / "data.new";
  }  ///< renamed to data() when initdb is done
  std::filesystem::path password() const { return folder_ / "password"; }
  std::filesystem::path log() const { return folder_ / "postgresql.log"; }
  const std::filesystem::path& socket() const { return socket_; }

  /// A file of this folder as the server must call it.
  std::string as_seen(const std::filesystem::path& file) const;

  /// Options for a program that runs as the server's user and may use as_seen(). This must outlive it.
  ProcessOptions program(std::vector<std::string> command) const;

  /// A new empty folder, or an existing file, becomes the server's user's alone.
  void make_folder(const std::filesystem::path& folder) const;
  void hand_over(const std::filesystem::path& file) const;

  /// Throws UsageError if the data are another user's.
  void check_owner() const;

 private:
  void use_short_folder();
  void open_for_server();

  std::filesystem::path folder_;
  std::optional<User> user_;
  std::filesystem::path socket_;
  std::filesystem::path short_folder_;
  std::optional<int> descriptor_{};  ///< of folder_, where the server cannot get there by its path
};

/// Every PostgreSQL process of a cluster has its working directory in `data`. Waits until no process has;
/// then removes a postmaster.pid that a crash left, since another program may have the number in it by now.
/// Throws UsageError if a server still runs there after some seconds.
void wait_until_unused(const std::filesystem::path& data);

}  // namespace csrq::embedded
