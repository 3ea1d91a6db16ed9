#pragma once

#include <string>
#include <vector>

#include "base/config.hpp"
#include "store/database.hpp"

namespace csrq::store {

/// A file of db/, embedded in the binary: "migrations/0001_roles_and_customers.sql" and its text.
struct EmbeddedFile {
  const char* name;
  const char* text;
};
const std::vector<EmbeddedFile>& embedded_files();

struct SchemaStatus {
  int installed{};                     ///< 0: no schema csrq in this database
  int known{};                         ///< newest migration in this binary
  bool functions_current{};            ///< functions and views are this binary's
  std::vector<std::string> pending{};  ///< names of migrations to apply
};

SchemaStatus schema_status(Database& database);

/// Applies what is pending in one transaction, under a lock that a second migrate waits for; then functions
/// and views if their text changed; then the settings the database must know (customers.register,
/// customers.grants). Does
/// nothing if all is there. Returns the names of what it applied. Throws UsageError if the schema is newer
/// than this binary, or if the role lacks a privilege (naming which, and the remedy); TryAgain if somebody
/// else keeps the lock for longer than `lock_patience` (naming who).
std::vector<std::string> migrate(Database& database, const CustomersConfig& customers,
                                 Duration lock_patience = std::chrono::minutes(2));

/// What every other command calls first: throws UsageError unless the schema is exactly this binary's ("… is
/// at version 3, this csrq needs 5: run `csrq migrate`"; "… is newer than this csrq: install the csrq that
/// migrated it").
void require_schema(Database& database);

}  // namespace csrq::store
