#pragma once

#include <memory>
#include <optional>
#include <string>

#include <pqxx/pqxx>

#include "base/error.hpp"
#include "base/time.hpp"
#include "store/database.hpp"

namespace csrq::store {

/// The server, or a pooler before it, has no connection free; it may have one soon.
class NoConnectionFree : public Unreachable {
 public:
  using Unreachable::Unreachable;
};

/// Where the database is (csrq.arrive, csrq.place).
struct Arrival {
  std::string place{};  ///< a server and its timeline
  /// Since it came from another place, where something may have been committed that it does not hold.
  /// Nothing: it has not, or this login may not know.
  std::optional<Duration> since_promotion{};
};

/// A connection that has served nobody yet.
struct NewConnection {
  std::unique_ptr<pqxx::connection> connection{};
  /// A statement that each transaction on it has to begin with: behind a pooler the one before was somebody
  /// else's.
  std::string transaction_settings{};
  std::optional<Arrival> arrival{};  ///< nothing: a standby, no schema csrq, or this login may not ask
};

/// Connects once, and looks whether csrq can use what is there. With Access::read_only it takes a standby where
/// no primary answers. `has_served`: what is there was of use before, so its pooler is not suspected. Throws
/// Unreachable naming host and cause, or UsageError if the url cannot be read or csrq cannot use what is there
/// (its encoding, its pooler); never naming the password.
NewConnection new_connection(const DatabaseOptions& options, bool has_served);

}  // namespace csrq::store
