#pragma once

#include <optional>
#include <string>
#include <vector>

/// The SQL of db/, as this binary has it.
namespace csrq::store {

/// A file of db/: "functions/queue/claim.sql" and its text.
struct SqlFile {
  std::string name{};
  std::string text{};
};

/// What the build has put into the binary.
const std::vector<SqlFile>& embedded_files();

/// What this process goes by: the embedded files. A build with CSRQ_SQL_FROM_SOURCE reads the source tree, or
/// the folder that the environment's CSRQ_SQL_DIR names, once, and throws std::runtime_error if it cannot.
const std::vector<SqlFile>& sql_files();

/// Whom a lock on a table keeps waiting.
enum class LocksOut {
  writers,  ///< SHARE ROW EXCLUSIVE, or weaker
  readers,  ///< ACCESS EXCLUSIVE, or weaker: readers and writers
};

/// A table or view that is to be locked: "csrq.request".
struct TableLock {
  std::string table{};
  LocksOut locks_out{};
};

struct Migration {
  int version{};
  std::string name{};  ///< "0001_roles_and_schema"
  std::string sql{};
  /// What its head says: "-- Locks out readers of csrq.job, csrq.request." or "… writers of …". A test
  /// compares it with the locks that it takes.
  std::vector<TableLock> locks{};
};
std::vector<Migration> migrations();

/// What a statement makes: a function, view, trigger, policy, a default, row security.
struct MadeObject {
  std::string
      name{};  ///< as schema_objects.hpp has it, but functions without their arguments: "function csrq.claim"
  TableLock lock{};        ///< that making it takes; without a table: none
  std::string make_way{};  ///< statement that removes an older one; empty: it is replaced
};

enum class StatementKind {
  function,   ///< CREATE FUNCTION: locks nobody out, and can be repeated
  free,       ///< a comment, DO: likewise
  locking,    ///< is applied where it differs only
  privilege,  ///< GRANT, REVOKE: can be repeated
};

/// A statement of db/functions.
struct Statement {
  std::string file{};  ///< "queue/claim"
  std::string text{};
  std::string subject{};  ///< for people: "FUNCTION csrq.claim", "GRANT"
  StatementKind kind{};
  MadeObject object{};  ///< nameless if it makes none
};

/// All of db/functions in the order in which they can be applied to an empty schema, whatever their files:
/// functions, views, what uses them, privileges. The comment lines right above a CREATE FUNCTION or CREATE
/// VIEW are its COMMENT. Throws std::logic_error if two functions have one name: what has a name is made anew
/// when its arguments change.
std::vector<Statement> schema_statements();

/// A statement of a file without its semicolon, and the lines of comment right above it without their dashes.
struct SourceStatement {
  std::string comment{};
  std::string text{};
};
std::vector<SourceStatement> split_statements(const std::string& sql);

}  // namespace csrq::store
