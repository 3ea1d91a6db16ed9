#pragma once

#include <string>

#include "base/error.hpp"
#include "store/database.hpp"

/// How far a database is, compared with this binary.
namespace csrq::store {

struct SchemaVersion {
  int installed{};           ///< 0: no schema csrq in this database
  int known{};               ///< newest migration in this binary
  bool functions_current{};  ///< functions and views are this binary's
};

/// The schema is not this binary's.
class WrongSchema : public UsageError {
 public:
  using UsageError::UsageError;
};

/// Throws UsageError if the login may not look, WrongSchema if the schema was made before 0.1.0.
SchemaVersion schema_version(pqxx::transaction_base& transaction);

bool has_schema(pqxx::transaction_base& transaction);
/// Of all that db/functions of this binary has.
std::string functions_sha256(pqxx::transaction_base& transaction);
/// For a sentence: `login "anna"`.
std::string login_of(pqxx::transaction_base& transaction);

}  // namespace csrq::store
