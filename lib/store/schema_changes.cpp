#include "store/schema_changes.hpp"

#include <optional>
#include <string_view>

#include "base/error.hpp"
#include "store/sql.hpp"

namespace csrq::store {
namespace {

constexpr std::string_view cannot_be_replaced = "42P13";  // invalid_function_definition
constexpr std::string_view is_used = "2BP01";             // dependent_objects_still_exist

constexpr auto functions_sql = R"sql(
    SELECT p.oid FROM pg_proc p
     WHERE p.pronamespace = 'csrq'::regnamespace AND 'function csrq.' || p.proname = $1
)sql";

/// What csrq has that uses a function, as statements that remove it.
constexpr auto users_sql = R"sql(
    SELECT DISTINCT format('DROP VIEW %s', r.ev_class::regclass) AS statement
      FROM pg_depend d JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
      JOIN pg_class c ON c.oid = r.ev_class
     WHERE d.refclassid = 'pg_proc'::regclass AND d.refobjid = $1
       AND c.relnamespace = 'csrq'::regnamespace
    UNION ALL
    SELECT format('DROP TRIGGER %I ON %s', t.tgname, c.oid::regclass)
      FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
     WHERE t.tgfoid = $1 AND t.tgparentid = 0 AND c.relnamespace = 'csrq'::regnamespace
    UNION ALL
    SELECT DISTINCT format('DROP POLICY %I ON %s', p.polname, c.oid::regclass)
      FROM pg_depend d JOIN pg_policy p ON d.classid = 'pg_policy'::regclass AND p.oid = d.objid
      JOIN pg_class c ON c.oid = p.polrelid
     WHERE d.refclassid = 'pg_proc'::regclass AND d.refobjid = $1
       AND c.relnamespace = 'csrq'::regnamespace
    UNION ALL
    SELECT DISTINCT format('ALTER TABLE %s ALTER COLUMN %I DROP DEFAULT', c.oid::regclass, a.attname)
      FROM pg_depend d JOIN pg_attrdef f ON d.classid = 'pg_attrdef'::regclass AND f.oid = d.objid
      JOIN pg_class c ON c.oid = f.adrelid
      JOIN pg_attribute a ON a.attrelid = f.adrelid AND a.attnum = f.adnum
     WHERE d.refclassid = 'pg_proc'::regclass AND d.refobjid = $1
       AND c.relnamespace = 'csrq'::regnamespace
)sql";

/// "view report depends on view csrq.status" of the server's message.
std::string detail_of(std::string_view server_message) {
  constexpr std::string_view label = "DETAIL:  ";
  const std::size_t start = server_message.find(label);
  if (start == std::string_view::npos) return std::string(server_message);
  server_message.remove_prefix(start + label.size());
  return std::string(server_message.substr(0, server_message.find('\n')));
}

void execute_drop(pqxx::transaction_base& transaction, const std::string& statement) {
  try {
    transaction.exec(statement);
  } catch (const pqxx::sql_error& error) {
    if (error.sqlstate() != is_used) throw;
    throw UsageError("something that is not csrq's is in the way of " + statement + ": " +
                     detail_of(error.what()) + ". Drop it, run csrq migrate, and make it again.");
  }
}

std::vector<std::string> functions_named(pqxx::transaction_base& transaction, const std::string& object) {
  std::vector<std::string> oids;
  for (const auto& row : execute(transaction, functions_sql, {object})) oids.push_back(text(row["oid"]));
  return oids;
}

void drop_function(pqxx::transaction_base& transaction, const std::string& oid) {
  for (const auto& row : execute(transaction, users_sql, {oid}))
    execute_drop(transaction, text(row["statement"]));
  const std::string function = text(one_value(transaction, "SELECT $1::oid::regprocedure", {oid}));
  execute_drop(transaction, "DROP FUNCTION " + function);
}

/// False: not without dropping the one that is there.
bool replaces(pqxx::transaction_base& transaction, const std::string& statement) {
  transaction.exec("SAVEPOINT replace_function");
  try {
    transaction.exec(statement);
    transaction.exec("RELEASE SAVEPOINT replace_function");
    return true;
  } catch (const pqxx::sql_error& error) {
    if (error.sqlstate() != cannot_be_replaced) throw;
    transaction.exec("ROLLBACK TO SAVEPOINT replace_function");
    return false;
  }
}

/// Whether it is a new function.
bool make_function(pqxx::transaction_base& transaction, const Statement& statement) {
  const std::vector<std::string> before = functions_named(transaction, statement.object.name);
  if (replaces(transaction, statement.text)) {
    // With other arguments it stands beside the old one.
    const std::vector<std::string> after = functions_named(transaction, statement.object.name);
    if (after.size() == before.size()) return false;
    for (const std::string& oid : before) drop_function(transaction, oid);
    return true;
  }
  for (const std::string& oid : before) drop_function(transaction, oid);
  transaction.exec(statement.text);
  return true;
}

}  // namespace

bool apply(pqxx::transaction_base& transaction, const Statement& statement) {
  if (statement.kind == StatementKind::function) return make_function(transaction, statement);
  if (!statement.object.make_way.empty()) execute_drop(transaction, statement.object.make_way);
  transaction.exec(statement.text);
  return statement.kind == StatementKind::locking;
}

void drop(pqxx::transaction_base& transaction, const std::vector<std::string>& objects) {
  const auto drop_those = [&](bool functions) {
    for (const std::string& object : objects)
      if (object.starts_with("function ") == functions) execute_drop(transaction, "DROP " + object);
  };
  drop_those(false);
  drop_those(true);
}

}  // namespace csrq::store
