#pragma once

#include <filesystem>
#include <string>

namespace csrq::app {

/// The folder of `csrq dev` and the files in it, for one process at a time.
class DevFolder {
 public:
  /// Makes it if it is missing. Root becomes the user that PostgreSQL runs as, and hands the folder over,
  /// where that user can get there. Throws UsageError if it cannot, if the folder is somebody else's or has
  /// links in it, or if another `csrq dev` runs there.
  explicit DevFolder(const std::string& path);
  ~DevFolder();
  DevFolder(const DevFolder&) = delete;
  DevFolder& operator=(const DevFolder&) = delete;

  /// As it was given, for people.
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path file(const std::string& name) const { return path_ / name; }

  void write(const std::string& name, const std::string& text) const;
  /// As write(), mode 0600.
  void write_private(const std::string& name, const std::string& text) const;
  /// The password in that file, which is made up if it is missing.
  std::string password(const std::string& name) const;

 private:
  std::filesystem::path path_;
  int lock_{-1};
};

}  // namespace csrq::app
