#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "embedded/process.hpp"

namespace csrq::test {

/// A PostgreSQL of the test's own with the schema, on a machine that fares badly: its disk runs full, its
/// clock jumps. All its files are on a file system of 80 MB, which only its processes see (a mount in
/// namespaces of their own: no privilege is needed). Where it ends it is started again, as systemd does it.
/// It syncs.
class PrivateServer {
 public:
  PrivateServer();
  ~PrivateServer();  ///< everything is gone
  PrivateServer(const PrivateServer&) = delete;
  PrivateServer& operator=(const PrivateServer&) = delete;

  std::string url() const;

  /// Within a moment nothing more goes onto it, until free_disk().
  void fill_disk();
  void free_disk();
  /// From now on the clock is this far from the machine's: "+3h", "-3h", "+0".
  void set_clock(const std::string& offset);
  /// The end of what the server has to say.
  std::string log() const;

 private:
  std::filesystem::path folder_;
  std::unique_ptr<embedded::Process> supervisor_{};
};

}  // namespace csrq::test
