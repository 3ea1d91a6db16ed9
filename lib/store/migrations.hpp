#pragma once

#include <stdexcept>
#include <string>
#include <vector>

#include "base/customer_policy.hpp"
#include "base/time.hpp"
#include "store/database.hpp"
#include "store/schema_plan.hpp"

namespace csrq::store {

/// Waits for nothing and changes nothing. Throws as schema_version() does.
SchemaStatus schema_status(Database& database);

/// customers.register and customers.grants.
struct CustomerSettings {
  CustomerRegistration registration{CustomerRegistration::automatic};
  Grants grants{Grants::automatic};
};

struct MigrateOptions {
  Duration patience{std::chrono::minutes(2)};  ///< for locks that others hold
  bool repair{};                               ///< all functions, views, triggers, policies, privileges again
  Database* lookout{};  ///< a second connection, to see whom the first one waits for; null: nobody is named
};

/// Applies in one transaction, and returns the names of what it applied (nothing if all is there):
/// - pending migrations,
/// - functions, views, triggers, policies and privileges, as far as they differ,
/// - the settings that the database must know.
///
/// If somebody else holds a lock, it waits for a fraction of a second only, since others queue behind whoever
/// waits. Then it gives all up, and tries again after a pause.
///
/// Throws UsageError if the schema is newer than this binary or was made before 0.1.0, or if the role lacks a
/// privilege (naming which, and the remedy); TryAgain when its patience is over (naming who has the lock).
std::vector<std::string> migrate(Database& database, const CustomerSettings& customers,
                                 const MigrateOptions& options = {});

/// What every other command calls first: throws WrongSchema unless the schema is exactly this binary's ("… is
/// at version 3, this csrq needs 5: run `csrq migrate`"; "… is newer than this csrq: install the csrq that
/// migrated it"; "… was made before 0.1.0 …: remove it"), UsageError if the login may not look.
void require_schema(Database& database);

/// The schema is no longer this binary's: another csrq has migrated it under a running process.
class SchemaChanged : public std::runtime_error {
 public:
  explicit SchemaChanged(const WrongSchema& now)
      : std::runtime_error(std::string("the schema has changed under this process: ") + now.what()) {}
};

/// What a process that goes on for long calls with each heartbeat. Throws SchemaChanged.
void require_same_schema(Database& database);

}  // namespace csrq::store
