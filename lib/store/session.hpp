#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <pqxx/pqxx>

#include "store/database.hpp"

namespace csrq::store {

using Work = std::function<void(pqxx::transaction_base&)>;

/// One connection that mends itself. Not thread-safe.
class Session {
 public:
  /// Connects, once. Throws Unreachable, or UsageError if the url cannot be read.
  explicit Session(DatabaseOptions options);

  /// Runs `works` in one transaction and commits it: when this returns, all is written. Rethrows what one of
  /// them threw: nothing is written then. After a lost connection or a serialization failure they run again,
  /// unless the database says that the commit whose answer was lost took place. Throws Unreachable after
  /// options.patience.
  void transact(const std::vector<const Work*>& works);

 private:
  void connect();
  void reconnect(const std::string& cause);
  bool is_lost(const std::exception_ptr& error) const;
  bool was_committed(const std::string& transaction);

  DatabaseOptions options_;
  std::unique_ptr<pqxx::connection> connection_{};
};

}  // namespace csrq::store
