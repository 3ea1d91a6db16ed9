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
    SELECT p.oid, 'function ' || p.oid::regprocedure AS object FROM pg_proc p
     WHERE p.pronamespace = 'csrq'::regnamespace AND 'function csrq.' || p.proname = $1
)sql";

/// What uses the object $2 of the catalogue $1, the farthest first, and how it is removed.
constexpr auto users_sql = R"sql(
    WITH RECURSIVE named AS (
        SELECT c.oid, n.nspname || '.' || c.relname AS name
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace),
    dependent AS (
        SELECT d.classid, d.objid FROM pg_depend d
         WHERE d.refclassid = $1::regclass AND d.refobjid = $2::oid),
    used_by_view AS (
        SELECT r.ev_class AS oid, 1 AS distance
          FROM dependent d JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
         WHERE r.ev_class <> $2::oid
        UNION
        SELECT r.ev_class, v.distance + 1
          FROM used_by_view v
          JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = v.oid
          JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
         WHERE r.ev_class <> v.oid),
    used_by AS (
        SELECT 'view ' || n.name AS object, format('DROP VIEW %s', v.oid::regclass) AS removal,
               max(v.distance) AS distance
          FROM used_by_view v JOIN named n ON n.oid = v.oid
         GROUP BY n.name, v.oid
        UNION ALL
        SELECT format('trigger %s on %s', t.tgname, n.name),
               format('DROP TRIGGER %I ON %s', t.tgname, t.tgrelid::regclass), 0
          FROM dependent d JOIN pg_trigger t ON d.classid = 'pg_trigger'::regclass AND t.oid = d.objid
          JOIN named n ON n.oid = t.tgrelid
         WHERE t.tgparentid = 0
        UNION ALL
        SELECT DISTINCT format('policy %s on %s', p.polname, n.name),
               format('DROP POLICY %I ON %s', p.polname, p.polrelid::regclass), 0
          FROM dependent d JOIN pg_policy p ON d.classid = 'pg_policy'::regclass AND p.oid = d.objid
          JOIN named n ON n.oid = p.polrelid
        UNION ALL
        SELECT DISTINCT format('default of %s.%s', n.name, a.attname),
               format('ALTER TABLE %s ALTER COLUMN %I DROP DEFAULT', f.adrelid::regclass, a.attname), 0
          FROM dependent d JOIN pg_attrdef f ON d.classid = 'pg_attrdef'::regclass AND f.oid = d.objid
          JOIN named n ON n.oid = f.adrelid
          JOIN pg_attribute a ON a.attrelid = f.adrelid AND a.attnum = f.adnum)
    SELECT object, removal FROM used_by ORDER BY distance DESC
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
    throw UsageError("something depends on what has to go (" + statement + "): " + detail_of(error.what()) +
                     ". Drop it, run csrq migrate, and make it again.");
  }
}

void drop_users(pqxx::transaction_base& transaction, const char* catalogue, const std::string& oid,
                const IsOurs& is_ours) {
  for (const auto& row : execute(transaction, users_sql, {catalogue, oid}))
    if (is_ours(text(row["object"]))) execute_drop(transaction, text(row["removal"]));
}

struct Function {
  std::string oid{};
  std::string object{};  ///< "function csrq.claim(bigint,integer)"
};

/// With whatever arguments: an older csrq's, or this one's.
std::vector<Function> functions_named(pqxx::transaction_base& transaction, const std::string& name) {
  std::vector<Function> functions;
  for (const auto& row : execute(transaction, functions_sql, {name}))
    functions.push_back({.oid = text(row["oid"]), .object = text(row["object"])});
  return functions;
}

void drop_functions(pqxx::transaction_base& transaction, const std::vector<Function>& functions,
                    const IsOurs& is_ours) {
  for (const Function& function : functions) {
    drop_users(transaction, "pg_catalog.pg_proc", function.oid, is_ours);
    execute_drop(transaction, "DROP " + function.object);
  }
}

/// False: not without dropping the one that is there.
bool replaces(pqxx::transaction_base& transaction, const std::string& statement) {
  pqxx::subtransaction attempt(dynamic_cast<pqxx::dbtransaction&>(transaction), "replace_function");
  try {
    attempt.exec(statement);
  } catch (const pqxx::sql_error& error) {
    if (error.sqlstate() != cannot_be_replaced) throw;
    return false;
  }
  attempt.commit();
  return true;
}

/// One beside csrq's would make each of its names ambiguous.
void refuse_others(const std::vector<Function>& functions, const IsOurs& is_ours) {
  for (const Function& function : functions)
    if (!is_ours(function.object))
      throw UsageError(function.object +
                       " is not csrq's, but csrq has a function of that name: drop it, or give it another "
                       "name");
}

/// Whether it is a new function.
bool make_function(pqxx::transaction_base& transaction, const Statement& statement, const IsOurs& is_ours) {
  const std::vector<Function> before = functions_named(transaction, statement.object.name);
  refuse_others(before, is_ours);
  if (replaces(transaction, statement.text)) {
    // With other arguments it stands beside the old one.
    if (functions_named(transaction, statement.object.name).size() == before.size()) return false;
    drop_functions(transaction, before, is_ours);
  } else {
    drop_functions(transaction, before, is_ours);
    transaction.exec(statement.text);
  }
  return true;
}

void drop_view(pqxx::transaction_base& transaction, const std::string& view, const IsOurs& is_ours) {
  const std::string oid = text(one_value(transaction, "SELECT to_regclass($1)::oid", {view}));
  if (oid.empty()) return;
  drop_users(transaction, "pg_catalog.pg_class", oid, is_ours);
  execute_drop(transaction, "DROP VIEW " + view);
}

}  // namespace

bool apply(pqxx::transaction_base& transaction, const Statement& statement, const IsOurs& is_ours) {
  if (statement.kind == StatementKind::function) return make_function(transaction, statement, is_ours);
  if (!statement.object.make_way.empty()) execute_drop(transaction, statement.object.make_way);
  transaction.exec(statement.text);
  return statement.kind == StatementKind::locking;
}

void drop(pqxx::transaction_base& transaction, const std::vector<std::string>& objects,
          const IsOurs& is_ours) {
  for (const std::string& object : objects) {
    const std::size_t space = object.find(' ');
    const std::string kind = object.substr(0, space);
    const std::string name = object.substr(space + 1);
    if (kind == "view")
      drop_view(transaction, name, is_ours);
    else
      execute_drop(transaction, "DROP " + kind + " IF EXISTS " + name);
  }
}

}  // namespace csrq::store
