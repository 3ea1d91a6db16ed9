#include "store/session.hpp"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string_view>
#include <thread>
#include <utility>

#include "base/error.hpp"
#include "base/failpoint.hpp"
#include "base/log.hpp"
#include "base/secret.hpp"
#include "store/connection_string.hpp"
#include "store/sql.hpp"

namespace csrq::store {
namespace {

using namespace std::chrono_literals;

constexpr int most_conflicts = 10;
// Something that kills its backend each time it runs must not run for ever.
constexpr int most_losses = 3;
constexpr auto patience_when_stopping = 3s;

// Whoever keeps a row locked holds up the call that wants it, not every call of this process.
constexpr auto settings_of_each_transaction = R"sql(;
    SET LOCAL lock_timeout = '2s'; SET LOCAL search_path = pg_catalog, pg_temp; SET LOCAL row_security = on;
    SET LOCAL DateStyle = 'ISO, YMD'; SET LOCAL IntervalStyle = 'postgres'; SET LOCAL TimeZone = 'UTC'
)sql";

// What a whole server has set is the decision of whoever runs it: before a switch to another one, say.
constexpr auto server_settings_sql = R"sql(
    SELECT current_database() AS database, current_setting('server_encoding') AS encoding,
           s.setting = 'on' AS is_read_only,
           s.source IN ('configuration file', 'command line') AS is_server_wide
      FROM pg_settings s WHERE s.name = 'default_transaction_read_only'
)sql";

// A database without csrq's schema has no place. Who is no worker only looks where it is.
constexpr auto may_call_sql = R"sql(
    SELECT EXISTS (
        SELECT FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
         WHERE n.nspname = 'csrq' AND p.proname = $1
           AND has_schema_privilege(n.oid, 'USAGE') AND has_function_privilege(p.oid, 'EXECUTE'))
)sql";

constexpr auto arrive_sql =
    "SELECT place, (since_promotion * 1000000)::bigint AS since_promotion FROM csrq.arrive()";
constexpr auto look_sql = "SELECT csrq.place() AS place, NULL::bigint AS since_promotion";

std::string one_line(std::string message) {
  while (!message.empty() && (message.back() == '\n' || message.back() == ' ')) message.pop_back();
  std::replace(message.begin(), message.end(), '\n', ' ');
  return message;
}

std::string what(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    return one_line(e.what());
  } catch (...) {
    return "unknown error";
  }
}

std::string sqlstate(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const pqxx::sql_error& e) {
    return e.sqlstate();
  } catch (...) {
    return {};
  }
}

/// Serialization failures and deadlocks: the same again may well succeed.
bool is_conflict(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const pqxx::statement_completion_unknown&) {
    return false;
  } catch (const pqxx::transaction_rollback&) {
    return true;
  } catch (...) {
    return false;
  }
}

/// What passes without our doing: out of disk or memory (53), I/O (58), a lock not to be had (55P03), a query
/// that somebody cancelled (57014), a queue of notifications that is full (54000).
bool is_passing(const std::exception_ptr& error) {
  const std::string state = sqlstate(error);
  if (state == "54000") return what(error).find("NOTIFY") != std::string::npos;
  return state.starts_with("53") || state.starts_with("58") || state == "55P03" || state == "57014" ||
         what(error).find("canceling statement due to") != std::string::npos;
}

/// What libpq says of a connection string that it cannot read, before it looks for any server.
bool is_malformed(std::string_view message) {
  for (const std::string_view start : {"invalid ", "forbidden value ", "could not match "})
    if (message.starts_with(start)) return true;
  for (const std::string_view part : {" in URI", " in connection info string"})
    if (message.find(part) != std::string_view::npos) return true;
  return false;
}

bool has_one_of(std::string_view message, std::initializer_list<std::string_view> parts) {
  return std::any_of(parts.begin(), parts.end(),
                     [&](std::string_view part) { return message.find(part) != std::string_view::npos; });
}

struct NoConnectionFree : Unreachable {
  using Unreachable::Unreachable;
};

/// A failed connection has no SQLSTATE, only words: PostgreSQL's or PgBouncer's.
[[noreturn]] void throw_unreachable(const std::string& cause) {
  const std::string sentence = "cannot reach the database: " + cause;
  if (has_one_of(cause, {"too many clients already", "connection slots are reserved", "too many connections",
                         "no more connections allowed", "query_wait_timeout"}))
    throw NoConnectionFree(sentence +
                           " (it has no connection free: raise max_connections, the limit of the login or of "
                           "the database, or that of the pooler)");
  if (has_one_of(cause, {"server is in hot standby", "session is read-only"}))
    throw Unreachable(sentence + " (it is a standby: database.url must name the primary, or all hosts)");
  throw Unreachable(sentence + " (database.url says where it is)");
}

struct ServerSettings {
  std::string database{};
  std::string encoding{};
  bool is_read_only{};    ///< transactions are by default
  bool is_server_wide{};  ///< that is so for the whole server, not for this database or login

  bool overrides_read_only(Access access) const {
    return access == Access::read_write && is_read_only && !is_server_wide;
  }
};

void check(const ServerSettings& settings, Access access) {
  if (settings.encoding != "UTF8")
    throw UsageError("the database \"" + settings.database + "\" has the encoding " + settings.encoding +
                     ", csrq needs UTF8: make it with `createdb -E UTF8 -T template0 " + settings.database +
                     "`");
  if (access == Access::read_write && settings.is_read_only && settings.is_server_wide)
    throw Unreachable(
        "the database takes no writes: default_transaction_read_only is on for the whole server, as before "
        "a switch to another one (ALTER SYSTEM RESET default_transaction_read_only, or let database.url "
        "name the other one)");
}

/// In a transaction, so that a pooler that lends none shows it here. Throws UsageError, Unreachable.
ServerSettings server_settings(pqxx::connection& connection) {
  pqxx::work transaction(connection);
  // A standby knows no other isolation level.
  transaction.exec("SET TRANSACTION ISOLATION LEVEL READ COMMITTED; SET LOCAL search_path = pg_catalog");
  const auto row = execute(transaction, server_settings_sql)[0];
  return {.database = text(row["database"]),
          .encoding = text(row["encoding"]),
          .is_read_only = row["is_read_only"].as<bool>(),
          .is_server_wide = row["is_server_wide"].as<bool>()};
}

std::unique_ptr<pqxx::connection> open(const Secret& parameters) {
  auto connection = std::make_unique<pqxx::connection>(parameters.reveal().data());
#if PQXX_VERSION_MAJOR < 7
  // Behind our back it would go on in the middle of a transaction.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  connection->inhibit_reactivation(true);
#pragma GCC diagnostic pop
#endif
  return connection;
}

/// A statement goes through and a transaction ends the connection: so does PgBouncer with pool_mode =
/// statement. It says so, but libpqxx 6 loses the last words of a connection.
bool lends_statements_only(const Secret& parameters) {
  try {
    const auto connection = open(parameters);
    pqxx::nontransaction(*connection).exec("SELECT 1");
    try {
      server_settings(*connection);
    } catch (const pqxx::failure&) {
      return true;
    }
  } catch (const pqxx::failure&) {
  }
  return false;
}

/// Empty if nothing was written.
std::string transaction_id(pqxx::transaction_base& transaction) {
  return text(one_value(transaction, "SELECT pg_current_xact_id_if_assigned()"));
}

}  // namespace

Session::Session(DatabaseOptions options) : options_(std::move(options)) {
  try {
    connect();
  } catch (const NoConnectionFree& full) {
    log::warning("the database has no connection free; waiting for one", {{"error", full.what()}});
    connect_with_patience();
  }
}

void Session::connect() {
  if (options_.access == Access::read_only) {
    try {
      return connect_to(Access::read_write);
    } catch (const Unreachable&) {  // a standby, perhaps
    }
  }
  connect_to(options_.access);
}

void Session::connect_to(Access access) {
  const Secret password =
      options_.password_file.empty() ? Secret() : read_secret_file(options_.password_file);
  DatabaseOptions options = options_;
  options.access = access;
  const Secret parameters(connection_string(options, password.reveal()));
  std::unique_ptr<pqxx::connection> connection;
  try {
    connection = open(parameters);
    const ServerSettings settings = server_settings(*connection);
    check(settings, access);
    overrides_read_only_ = settings.overrides_read_only(access);
    if (access == Access::read_write) arrive(*connection);
    connection_ = std::move(connection);
    ++connections_;
  } catch (const pqxx::failure& e) {
    const std::string cause = without_secrets(one_line(e.what()), options_.url, password.reveal());
    if (is_malformed(e.what())) throw UsageError("database.url is not one that libpq can read: " + cause);
    // One that has served before is none of these: its connections are broken off for another reason.
    if (connection && connections_ == 0 && lends_statements_only(parameters))
      throw UsageError(
          "the pooler before the database lends its connections for single statements: csrq needs pool_mode "
          "= transaction or session");
    throw_unreachable(cause);
  }
}

/// Before any work runs here: what this process, or another one, has in mind may be of a time that a
/// promotion has lost.
void Session::arrive(pqxx::connection& connection) {
  pqxx::work transaction(connection);
  set_up(transaction);
  const auto may_call = [&](const char* function) {
    return one_value(transaction, may_call_sql, {function}).as<bool>();
  };
  const char* statement = may_call("arrive") ? arrive_sql : may_call("place") ? look_sql : nullptr;
  if (!statement) return;
  const auto arrival = execute(transaction, statement)[0];
  const std::string before = std::exchange(place_, text(arrival["place"]));
  if (const auto since = value<std::int64_t>(arrival["since_promotion"]))
    promoted_at_ = Clock::now() - Duration(*since);
  transaction.commit();
  if (!before.empty() && before != place_)
    log::warning("the database has come to another server or timeline: what was committed last may be lost",
                 {{"before", before}, {"now", place_}});
}

std::optional<Duration> Session::since_promotion() const {
  const Clock::time_point at = promoted_at_;
  if (at == Clock::time_point::min()) return std::nullopt;
  return std::chrono::floor<Duration>(Clock::now() - at);
}

void Session::reconnect(const std::string& cause) {
  connection_.reset();
  if (given_up_) throw Unreachable("the database is away, and csrq is stopping: " + cause);
  log::warning("lost the connection to the database", {{"cause", cause}});
  connect_with_patience();
  log::info("connected to the database again");
}

void Session::connect_with_patience() {
  const Clock::time_point patience_ends = Clock::now() + options_.patience;
  for (Duration wait = 50ms;; wait = std::min<Duration>(wait * 2, 2s)) {
    try {
      return connect();
    } catch (const Unreachable&) {
      if (Clock::now() + wait >= give_up_at(patience_ends)) {
        given_up_ = options_.stop.stop_requested();
        throw;
      }
    }
    pause(wait);
  }
}

/// Whoever is told to stop has other things to wait for than a database that is away.
Session::Clock::time_point Session::give_up_at(Clock::time_point otherwise) const {
  const Clock::time_point asked = stop_asked_;
  return asked == Clock::time_point::max() ? otherwise : std::min(otherwise, asked + patience_when_stopping);
}

/// Shorter if stop is asked for.
void Session::pause(Duration longest) const {
  if (options_.stop.stop_requested()) return std::this_thread::sleep_for(std::min<Duration>(longest, 200ms));
  std::mutex mutex;
  std::unique_lock lock(mutex);
  std::condition_variable_any().wait_for(lock, options_.stop, longest, [] { return false; });
}

/// Everything for this transaction only: behind a pooler the next one on the same connection is somebody
/// else's. Whatever the database, the login or the application before set is not what csrq's statements were
/// written for.
void Session::set_up(pqxx::transaction_base& transaction) const {
  std::string settings = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED, NOT DEFERRABLE";
  if (options_.access == Access::read_only) settings += ", READ ONLY";
  if (overrides_read_only_) settings += ", READ WRITE";
  transaction.exec(settings + settings_of_each_transaction);
}

bool Session::is_lost(const std::exception_ptr& error) const {
  if (!connection_->is_open()) return true;
  try {
    std::rethrow_exception(error);
  } catch (const pqxx::broken_connection&) {
    return true;
  } catch (const pqxx::in_doubt_error&) {
    return true;
  } catch (...) {
  }
  // 25006: the server is a standby by now, or takes no writes; 57P0x: it is shutting down.
  const std::string state = sqlstate(error);
  return state.starts_with("08") || state == "25006" || state == "57P01" || state == "57P02" ||
         state == "57P03";
}

/// In another place the same number may be another transaction's.
bool Session::was_committed(const std::string& transaction, const std::string& place) {
  const Clock::time_point patience_ends = Clock::now() + options_.patience;
  for (;;) {
    if (place_ != place) return false;
    std::string status;
    try {
      pqxx::work ask(*connection_);
      set_up(ask);
      status = text(one_value(ask, "SELECT pg_xact_status($1::xid8)", {transaction}));
    } catch (...) {
      const auto error = std::current_exception();
      // Any other error: this server (after a failover) has not come as far as that transaction.
      if (!is_lost(error)) return false;
      reconnect(what(error));
      continue;
    }
    if (status != "in progress") return status == "committed";
    if (Clock::now() >= give_up_at(patience_ends))
      throw Unreachable(
          "the connection was lost during a commit, and the database has not decided on it since");
    std::this_thread::sleep_for(20ms);
  }
}

void Session::transact(const std::vector<const Work*>& works) {
  if (!connection_) reconnect("it could not be reached before");
  for (int conflicts = 0, losses = 0;;) {
    std::string transaction;
    std::exception_ptr error;
    const std::string place = place_;
    try {
      pqxx::work open(*connection_);
      set_up(open);
      for (const Work* work : works) (*work)(open);
      transaction = transaction_id(open);
      failpoint("before commit", options_.application_name);
      open.commit();
      failpoint("after commit", options_.application_name);
      return;
    } catch (...) {
      error = std::current_exception();
    }
    if (is_lost(error)) {
      reconnect(what(error));
      if (!transaction.empty() && was_committed(transaction, place)) return;
      if (++losses < most_losses) continue;
      if (works.size() > 1) std::rethrow_exception(error);
      throw Unreachable("the database broke the connection off " + std::to_string(losses) +
                        " times in a row: " + what(error));
    }
    if (is_conflict(error) && ++conflicts < most_conflicts) continue;
    if (works.size() == 1 && (is_conflict(error) || is_passing(error)))
      throw TryAgain("the database refuses for now: " + what(error));
    std::rethrow_exception(error);
  }
}

}  // namespace csrq::store
