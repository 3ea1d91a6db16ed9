#include "store/schema_plan.hpp"

#include <algorithm>
#include <map>

#include "store/sql.hpp"

namespace csrq::store {
namespace {

constexpr auto may_read_statements_sql = R"sql(
    SELECT has_table_privilege(c.oid, 'SELECT') AS may_read FROM pg_class c
     WHERE c.relnamespace = 'csrq'::regnamespace AND c.relname = 'schema_statement'
)sql";

constexpr auto new_statements_sql = R"sql(
    SELECT t.text FROM unnest($1::text[]) t (text)
     WHERE NOT EXISTS (SELECT FROM csrq.schema_statement s
                        WHERE s.sha256 = sha256(convert_to(t.text, 'UTF8')))
)sql";

constexpr auto forget_statements_sql = R"sql(
    DELETE FROM csrq.schema_statement s
     WHERE s.sha256 <> ALL (SELECT sha256(convert_to(t.text, 'UTF8')) FROM unnest($1::text[]) t (text))
)sql";

constexpr auto record_statements_sql = R"sql(
    INSERT INTO csrq.schema_statement (sha256)
    SELECT DISTINCT sha256(convert_to(t.text, 'UTF8')) FROM unnest($1::text[]) t (text)
    ON CONFLICT DO NOTHING
)sql";

std::vector<std::string> texts_of(const std::vector<Statement>& statements) {
  std::vector<std::string> all;
  all.reserve(statements.size());
  for (const Statement& statement : statements) all.push_back(statement.text);
  return all;
}

std::set<std::string> made_by(const std::vector<Statement>& statements) {
  std::set<std::string> names;
  for (const Statement& statement : statements)
    if (!statement.object.name.empty()) names.insert(statement.object.name);
  return names;
}

/// Texts that were not applied last time. None for a login that may not know.
std::set<std::string> new_statements(pqxx::transaction_base& transaction,
                                     const std::vector<std::string>& statements) {
  const pqxx::result may_read = execute(transaction, may_read_statements_sql);
  if (may_read.empty()) return {statements.begin(), statements.end()};
  if (!may_read[0]["may_read"].as<bool>()) return {};
  std::set<std::string> found;
  for (const auto& row : execute(transaction, new_statements_sql, {statements}))
    found.insert(text(row["text"]));
  return found;
}

/// The stronger lock of each table or view that is there.
std::vector<TableLock> locks_of(const Plan& plan) {
  std::map<std::string, LocksOut> strongest;
  const auto add = [&](const TableLock& lock) {
    if (!plan.before.contains("table " + lock.table) && !plan.before.contains("view " + lock.table)) return;
    LocksOut& locks_out = strongest.emplace(lock.table, lock.locks_out).first->second;
    locks_out = std::max(locks_out, lock.locks_out);
  };
  for (const Migration& migration : plan.migrations)
    for (const TableLock& lock : migration.locks) add(lock);
  for (const Statement& statement : plan.statements)
    if (statement.kind == StatementKind::locking && plan.is_due(statement, plan.before))
      add(statement.object.lock);
  for (const std::string& name : plan.unwanted)
    if (const std::string table = table_behind(name); !table.empty())
      add({.table = table, .locks_out = LocksOut::readers});
  std::vector<TableLock> locks;
  locks.reserve(strongest.size());
  for (const auto& [table, locks_out] : strongest) locks.push_back({.table = table, .locks_out = locks_out});
  return locks;
}

std::vector<std::string> changed_in(const Plan& plan) {
  const auto is_new = [&](const std::string& text) { return plan.new_statements.contains(text); };
  if (std::ranges::all_of(plan.texts, is_new))
    return {"all functions, views, triggers, policies and privileges"};
  std::vector<std::string> subjects;
  for (const Statement& statement : plan.statements)
    if (is_new(statement.text)) subjects.push_back(statement.subject);
  for (const std::string& name : plan.unwanted) subjects.push_back(name + ", which goes");
  return subjects;
}

}  // namespace

Plan make_plan(pqxx::transaction_base& transaction, bool repair) {
  Plan plan{.status = {schema_version(transaction), {}, {}, {}, {}},
            .migrations = migrations(),
            .statements = schema_statements(),
            .repair = repair};
  std::erase_if(plan.migrations, [&](const Migration& one) { return one.version <= plan.status.installed; });
  for (const Migration& migration : plan.migrations) plan.status.pending.push_back(migration.name);
  plan.texts = texts_of(plan.statements);
  plan.made = made_by(plan.statements);
  if (plan.status.installed == 0) return plan;
  plan.before = present_objects(transaction);
  plan.new_statements = new_statements(transaction, plan.texts);
  plan.recorded = recorded_objects(transaction);
  plan.unwanted = unwanted(plan.recorded, plan.before, plan.made);
  plan.status.changed = changed_in(plan);
  if (!plan.recorded.empty()) {
    plan.status.missing = missing(plan.recorded, plan.before);
    plan.privileges_differ = privileges_differ(plan.recorded, plan.before);
    if (plan.privileges_differ) plan.status.changed.emplace_back("privileges of csrq's roles");
  }
  plan.status.locks = locks_of(plan);
  return plan;
}

void record(pqxx::transaction_base& transaction, const Plan& plan) {
  execute(transaction, forget_statements_sql, {plan.texts});
  execute(transaction, record_statements_sql, {plan.texts});
  record_objects(transaction, plan.before, plan.made);
}

}  // namespace csrq::store
