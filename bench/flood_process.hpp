#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "support/flood.hpp"

namespace csrq::bench {

/// A flood in processes of its own, so that it may have more sockets than one process. To be made while this
/// process has one thread.
class FloodProcesses {
 public:
  explicit FloodProcesses(const test::FloodOptions& options);
  ~FloodProcesses();
  FloodProcesses(const FloodProcesses&) = delete;
  FloodProcesses& operator=(const FloodProcesses&) = delete;

  std::uint64_t established() const;

 private:
  struct Share;
  std::vector<pid_t> processes_{};
  Share* shares_;  ///< one for each process, in memory that they share
};

}  // namespace csrq::bench
