#pragma once

#include <set>
#include <string>
#include <vector>

#include "store/schema_objects.hpp"
#include "store/schema_source.hpp"
#include "store/schema_version.hpp"

/// What csrq migrate has to do in a database, found out without any lock.
namespace csrq::store {

struct SchemaStatus : SchemaVersion {
  std::vector<std::string> pending{};  ///< names of migrations to apply
  std::vector<std::string> changed{};  ///< functions, views, triggers … whose text this binary has otherwise
  std::vector<std::string> missing{};  ///< what csrq migrate made and is there no more
  std::vector<TableLock> locks{};      ///< that migrate needs, for a moment

  bool is_current() const {
    return installed == known && functions_current && changed.empty() && missing.empty();
  }
};

struct Plan {
  SchemaStatus status{};
  std::vector<Migration> migrations{};
  std::vector<Statement> statements{};
  std::vector<std::string> texts{};        ///< of `statements`
  std::set<std::string> made{};            ///< names of what `statements` make
  std::set<std::string> new_statements{};  ///< texts that were not applied last time
  SchemaObjects before{};                  ///< what is there
  SchemaObjects recorded{};                ///< what csrq migrate made
  /// Of `before`: what an older csrq made, and this one does not have.
  std::vector<std::string> unwanted{};
  bool privileges_differ{};
  bool repair{};

  bool is_empty() const { return !repair && status.is_current(); }
  /// Whether csrq migrate has made an object, and no DBA.
  bool is_ours(const std::string& object) const { return is_made_by_csrq(object, recorded, made); }
  /// `present`: what is there when its turn comes.
  bool is_due(const Statement& statement, const SchemaObjects& present) const {
    switch (statement.kind) {
      case StatementKind::function:
      case StatementKind::free:
        return true;
      case StatementKind::locking:
        return repair || new_statements.contains(statement.text) || !present.contains(statement.object.name);
      case StatementKind::privilege:
        return repair || new_statements.contains(statement.text);
    }
    return true;
  }
};

/// `repair`: everything again. Throws UsageError if the login may not look.
Plan make_plan(pqxx::transaction_base& transaction, bool repair);

/// Records that all statements of the plan are applied, and what there is by now.
void record(pqxx::transaction_base& transaction, const Plan& plan);

}  // namespace csrq::store
