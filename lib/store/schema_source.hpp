#pragma once

#include <optional>
#include <string>
#include <vector>

/// The SQL of db/, as this binary has it.
namespace csrq::store {

/// A file of db/, embedded in the binary: "migrations/0001_roles_and_customers.sql" and its text.
struct EmbeddedFile {
  const char* name;
  const char* text;
};
const std::vector<EmbeddedFile>& embedded_files();

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
  std::string name{};  ///< "0001_roles_and_customers"
  const char* sql{};
  /// What its head says: "-- Locks out readers of csrq.job, csrq.request." or "… writers of …". A test
  /// compares it with the locks that it takes.
  std::vector<TableLock> locks{};
};
std::vector<Migration> migrations();

/// What a statement makes that has to lock a table or view: a trigger, policy, view, default, row security.
struct LockingObject {
  std::string name{};  ///< as schema_objects.hpp has it: "trigger frozen on csrq.request"
  TableLock lock{};
  std::string make_way{};  ///< statement that removes an older one; empty: it is replaced
};

enum class StatementKind {
  free,       ///< locks nobody out, and can be repeated: functions, comments
  privilege,  ///< GRANT, REVOKE: likewise
  locking,    ///< is applied where it differs only
};

/// A statement of db/functions.
struct Statement {
  std::string text{};
  std::string subject{};  ///< for people: "FUNCTION csrq.claim", "GRANT"
  StatementKind kind{};
  LockingObject object{};  ///< of a locking one
};

struct FunctionFile {
  std::string name{};  ///< "20_queue"
  std::vector<Statement> statements{};
};
std::vector<FunctionFile> function_files();

/// One after the other, without the semicolons between them and the comments before them.
std::vector<std::string> split_statements(const std::string& sql);

}  // namespace csrq::store
