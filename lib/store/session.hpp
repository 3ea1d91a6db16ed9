#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <pqxx/pqxx>

#include "store/database.hpp"
#include "store/new_connection.hpp"

namespace csrq::store {

using Work = std::function<void(pqxx::transaction_base&)>;

/// One connection that mends itself. Not thread-safe.
class Session {
 public:
  /// Throws Unreachable, or UsageError if the url cannot be read or csrq cannot use what is there.
  explicit Session(DatabaseOptions options);

  /// Runs `works` in one transaction and commits it. When this returns, all is written. If one of them
  /// throws, nothing is written, and this rethrows. After a lost connection or a serialization failure they
  /// run again, unless the database says that the commit whose answer was lost took place. A server that was
  /// promoted meanwhile cannot say so: they run again there, and all leases of before are over. Throws
  /// Unreachable after options.patience.
  void transact(const std::vector<const Work*>& works);

  /// How many connections were made. Callable from any thread.
  std::uint64_t connections() const { return connections_; }
  /// See Database. Callable from any thread.
  std::optional<Duration> since_promotion() const;

 private:
  using Clock = std::chrono::steady_clock;

  void connect();
  void come_to(const Arrival& arrival);
  void connect_with_patience();
  void reconnect(const std::string& cause);
  Clock::time_point give_up_at(Clock::time_point otherwise) const;
  void pause(Duration longest) const;
  bool is_lost(const std::exception_ptr& error) const;
  bool was_committed(const std::string& transaction, const std::string& place);

  DatabaseOptions options_;
  std::unique_ptr<pqxx::connection> connection_{};
  std::string transaction_settings_{};
  std::string place_{};  ///< csrq.place(); empty: this login may not know
  std::atomic<std::uint64_t> connections_{0};
  std::atomic<Clock::time_point> promoted_at_{Clock::time_point::min()};
  bool given_up_{false};  ///< connecting has failed since stop was asked for, and time was up
  std::atomic<Clock::time_point> stop_asked_{Clock::time_point::max()};
  std::stop_callback<std::function<void()>> on_stop_{options_.stop, [this] { stop_asked_ = Clock::now(); }};
};

}  // namespace csrq::store
