#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "base/error.hpp"
#include "base/time.hpp"

namespace pqxx {
class transaction_base;
}

namespace csrq::store {

enum class Access {
  read_write,  ///< the primary
  read_only,   ///< the primary, or a hot standby where no primary answers; nothing can be written
};

struct DatabaseOptions {
  std::string url{};            ///< libpq URI or keyword string; several hosts: the primary among them
  std::string password_file{};  ///< mode 0600; empty: what libpq finds by itself
  std::string application_name{"csrq"};
  Access access{Access::read_write};
  /// How long run() keeps reconnecting before it throws Unreachable. Connecting in the constructor is tried
  /// once, or for as long while the server has no connection free.
  Duration patience{std::chrono::seconds(30)};
  /// Some seconds after stop was asked for, nobody waits for a connection any more.
  std::stop_token stop{};
};

/// The database refuses this row or value (there is no such request, it is not in that state): another one
/// may be taken.
class WrongRow : public UsageError {
 public:
  using UsageError::UsageError;
};

/// Somebody's open transaction has the row locked. Nothing was written, and nobody has waited for the lock.
/// The same call may succeed later.
class RowLocked : public TryAgain {
 public:
  using TryAgain::TryAgain;
};

struct DatabaseStatistics {
  std::uint64_t calls{};
  std::uint64_t commits{};      ///< fewer than calls: commits are shared
  std::uint64_t connections{};  ///< that were made: the first, and one after each loss
};

/// One connection on one thread of its own, which runs the calls that the threads of the process hand in.
/// Calls that queued up while the last commit ran share the next commit. If it fails, its calls are replayed
/// one by one, so that only the guilty one fails. Thread-safe.
class Database {
 public:
  /// Waits for the connection. Throws Unreachable naming host and cause, or UsageError if the url cannot be
  /// read or csrq cannot use what is there (its encoding, its pooler); never naming the password.
  explicit Database(DatabaseOptions options);
  ~Database();  ///< runs what was handed in, then disconnects
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  /// Runs `work` in a transaction on the database's thread and returns after its commit. `work` may be run
  /// more than once (replay, reconnection), so it must be safe to repeat and must assign, not append, its
  /// results. Rethrows what `work` threw; a lost connection is mended with back-off for `patience`, then
  /// Unreachable.
  void run(const std::function<void(pqxx::transaction_base&)>& work);

  /// As run(), in a transaction that no other call shares: for work that waits for rows which calls of other
  /// processes lock in an order of their own.
  void run_alone(const std::function<void(pqxx::transaction_base&)>& work);

  DatabaseStatistics statistics() const;

  /// How long ago the database came from another server or timeline, where something may have been committed
  /// that it does not hold (csrq.since_promotion). The database said so when the connection was made.
  /// Nothing: it has not moved.
  std::optional<Duration> since_promotion() const;

 private:
  struct Thread;
  std::unique_ptr<Thread> thread_;
};

}  // namespace csrq::store
