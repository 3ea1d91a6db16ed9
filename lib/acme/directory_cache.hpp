#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "acme/directory.hpp"
#include "base/error.hpp"
#include "base/mutex.hpp"
#include "base/time.hpp"

namespace csrq::acme {

/// One CA's directory, read when it is needed. However many threads ask, one reads; those that have no
/// directory wait for it and share its outcome. Thread-safe.
class DirectoryCache {
 public:
  /// `read` throws Error if the directory cannot be had. It is called without a lock.
  explicit DirectoryCache(std::function<Directory()> read) : read_(std::move(read)) {}

  /// Reads the directory again when it is a day old. If this fails, the old one serves on for five minutes
  /// more.
  std::shared_ptr<const Directory> current(Time at);
  /// Read again, unless that has happened since `seen` was current. Throws what `read` throws.
  std::shared_ptr<const Directory> renewed(const std::shared_ptr<const Directory>& seen, Time at);

 private:
  /// The failure, if the directory could not be read. Waits, without the mutex.
  std::optional<Failure> read(Time at) CSRQ_REQUIRES(mutex_);

  const std::function<Directory()> read_;
  Mutex mutex_{};
  std::condition_variable_any finished_{};
  std::shared_ptr<const Directory> directory_ CSRQ_GUARDED_BY(mutex_){};
  Time due_ CSRQ_GUARDED_BY(mutex_){};
  bool reading_ CSRQ_GUARDED_BY(mutex_){false};
  std::uint64_t reads_ CSRQ_GUARDED_BY(mutex_){};
  std::optional<Failure> failure_ CSRQ_GUARDED_BY(mutex_){};  ///< of the last read
};

}  // namespace csrq::acme
