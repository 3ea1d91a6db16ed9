#include "store/new_connection.hpp"

#include <algorithm>
#include <initializer_list>
#include <string_view>
#include <utility>

#include "base/secret.hpp"
#include "store/connection_string.hpp"
#include "store/sql.hpp"

namespace csrq::store {
namespace {

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

/// What a database or a login has set is not what csrq's statements were written for.
std::string transaction_settings(Access access, const ServerSettings& server) {
  std::string settings = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED, NOT DEFERRABLE";
  if (access == Access::read_only)
    settings += ", READ ONLY";
  else if (server.is_read_only)
    settings += ", READ WRITE";
  return settings + settings_of_each_transaction;
}

/// Before any work runs here: what this process, or another one, has in mind may be of a time that a
/// promotion has lost.
std::optional<Arrival> arrive(const NewConnection& made) {
  pqxx::work transaction(*made.connection);
  transaction.exec(made.transaction_settings);
  const auto may_call = [&](const char* function) {
    return one_value(transaction, may_call_sql, {function}).as<bool>();
  };
  const char* statement = may_call("arrive") ? arrive_sql : may_call("place") ? look_sql : nullptr;
  if (!statement) return std::nullopt;
  const auto row = execute(transaction, statement)[0];
  Arrival arrival{.place = text(row["place"]), .since_promotion = std::nullopt};
  if (const auto since = value<std::int64_t>(row["since_promotion"]))
    arrival.since_promotion = Duration(*since);
  transaction.commit();
  return arrival;
}

/// `server`: which one may answer, whatever the transactions on the connection may do.
NewConnection connect_to(Access server, const DatabaseOptions& options, bool has_served) {
  const Secret password = options.password_file.empty() ? Secret() : read_secret_file(options.password_file);
  DatabaseOptions wanted = options;
  wanted.access = server;
  const Secret parameters(connection_string(wanted, password.reveal()));
  NewConnection made;
  try {
    made.connection = open(parameters);
    const ServerSettings settings = server_settings(*made.connection);
    check(settings, server);
    made.transaction_settings = transaction_settings(options.access, settings);
    if (server == Access::read_write) made.arrival = arrive(made);
    return made;
  } catch (const pqxx::failure& e) {
    const std::string cause = without_secrets(one_line(e.what()), options.url, password.reveal());
    if (is_malformed(e.what())) throw UsageError("database.url is not one that libpq can read: " + cause);
    if (made.connection && !has_served && lends_statements_only(parameters))
      throw UsageError(
          "the pooler before the database lends its connections for single statements: csrq needs pool_mode "
          "= transaction or session");
    throw_unreachable(cause);
  }
}

}  // namespace

NewConnection new_connection(const DatabaseOptions& options, bool has_served) {
  if (options.access == Access::read_only) {
    try {
      return connect_to(Access::read_write, options, has_served);
    } catch (const Unreachable&) {  // a standby, perhaps
    }
  }
  return connect_to(options.access, options, has_served);
}

}  // namespace csrq::store
