#include "store/schema_source.hpp"

#include <algorithm>
#include <cctype>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <string_view>

namespace csrq::store {
namespace {

/// "migrations/0001_roles.sql": "0001_roles", or nothing if the file is not in `folder`.
std::string name_in(std::string_view folder, std::string_view file) {
  if (!file.starts_with(folder)) return {};
  file.remove_prefix(folder.size());
  return std::string(file.substr(0, file.rfind(".sql")));
}

/// Tables of a head line like "-- Locks out readers of csrq.job, csrq.request."
void read_locks(std::string_view sql, std::string_view line_start, LocksOut locks_out,
                std::vector<TableLock>& locks) {
  const std::size_t start = sql.find(line_start);
  if (start == std::string_view::npos) return;
  const std::size_t names = start + line_start.size();
  std::istringstream tables{std::string(sql.substr(names, sql.find('\n', names) - names))};
  for (std::string table; tables >> table;) {
    table.erase(table.find_last_not_of(",.") + 1);
    locks.push_back({.table = table, .locks_out = locks_out});
  }
}

std::vector<TableLock> locks_of(std::string_view sql) {
  std::vector<TableLock> locks;
  read_locks(sql, "-- Locks out readers of ", LocksOut::readers, locks);
  read_locks(sql, "-- Locks out writers of ", LocksOut::writers, locks);
  return locks;
}

bool continues_a_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

/// Where what begins at `at` (a comment, a string, a quoted body, or one character) has ended.
std::size_t after_token(std::string_view sql, std::size_t at) {
  const auto after = [&](std::string_view end, std::size_t from) {
    const std::size_t found = sql.find(end, from);
    return found == std::string_view::npos ? sql.size() : found + end.size();
  };
  if (sql.substr(at).starts_with("--")) return after("\n", at);
  if (sql[at] == '\'' || sql[at] == '"') return after(sql.substr(at, 1), at + 1);
  if (sql[at] == '$' && (at == 0 || !continues_a_word(sql[at - 1]))) {
    std::size_t end = at + 1;
    while (end < sql.size() && continues_a_word(sql[end])) ++end;
    if (end < sql.size() && sql[end] == '$') return after(sql.substr(at, end + 1 - at), end + 1);
  }
  return at + 1;
}

bool is_space(char c) {
  return std::isspace(static_cast<unsigned char>(c)) != 0;
}

/// Without white space and comments before it.
std::string_view from_first_word(std::string_view statement) {
  while (!statement.empty() && (is_space(statement.front()) || statement.starts_with("--")))
    statement.remove_prefix(statement.starts_with("--") ? after_token(statement, 0) : 1);
  return statement;
}

/// "CREATE OR REPLACE VIEW csrq.a AS …" as CREATE, VIEW, csrq.a, AS, …
std::vector<std::string> words_of(const std::string& statement) {
  std::istringstream in(statement);
  std::vector<std::string> words{std::istream_iterator<std::string>(in), {}};
  if (words.size() > 3 && words[1] == "OR" && words[2] == "REPLACE")
    words.erase(words.begin() + 1, words.begin() + 3);
  words.resize(std::max<std::size_t>(words.size(), 6));
  return words;
}

/// Of a trigger or policy: "… ON csrq.request …".
std::string table_of(const std::vector<std::string>& words) {
  const auto on = std::find(words.begin(), words.end(), "ON");
  if (on == words.end() || std::next(on) == words.end())
    throw std::logic_error("a statement of db/functions names no table: " + words[1] + " " + words[2]);
  return *std::next(on);
}

LockingObject view(const std::string& name) {
  return {.name = "view " + name,
          .lock = {.table = name, .locks_out = LocksOut::readers},
          .make_way = "DROP VIEW IF EXISTS " + name};
}

LockingObject policy(const std::string& name, const std::string& table) {
  return {.name = "policy " + name + " on " + table,
          .lock = {.table = table, .locks_out = LocksOut::readers},
          .make_way = "DROP POLICY IF EXISTS " + name + " ON " + table};
}

LockingObject trigger(const std::string& name, const std::string& table) {
  return {.name = "trigger " + name + " on " + table,
          .lock = {.table = table, .locks_out = LocksOut::writers},
          .make_way = {}};
}

/// These cannot be replaced.
LockingObject constraint_trigger(const std::string& name, const std::string& table) {
  return {.name = "trigger " + name + " on " + table,
          .lock = {.table = table, .locks_out = LocksOut::readers},
          .make_way = "DROP TRIGGER IF EXISTS " + name + " ON " + table};
}

LockingObject altered(const std::vector<std::string>& words) {
  const std::string& table = words[2];
  const bool is_default = words[3] == "ALTER" && words[4] == "COLUMN";
  return {.name = is_default ? "default of " + table + "." + words[5] : "row security on " + table,
          .lock = {.table = table, .locks_out = LocksOut::readers},
          .make_way = {}};
}

/// Nameless if the statement locks nobody out.
LockingObject locking_object(const std::vector<std::string>& words) {
  if (words[0] == "ALTER" && words[1] == "TABLE") return altered(words);
  if (words[0] != "CREATE") return {};
  if (words[1] == "VIEW") return view(words[2]);
  if (words[1] == "POLICY") return policy(words[2], table_of(words));
  if (words[1] == "TRIGGER") return trigger(words[2], table_of(words));
  if (words[1] == "CONSTRAINT") return constraint_trigger(words[3], table_of(words));
  return {};
}

bool is_privilege(const std::vector<std::string>& words) {
  return words[0] == "GRANT" || words[0] == "REVOKE" || (words[0] == "ALTER" && words[1] == "DEFAULT");
}

/// "FUNCTION csrq.claim" of "CREATE OR REPLACE FUNCTION csrq.claim(p_worker …", "GRANT" of a grant.
std::string subject_of(const std::vector<std::string>& words) {
  if (words[0] == "CREATE") return words[1] + " " + words[2].substr(0, words[2].find('('));
  if (words[0] == "COMMENT") return "COMMENT ON " + words[3].substr(0, words[3].find('('));
  return words[0];
}

Statement read_statement(std::string text) {
  const std::vector<std::string> words = words_of(text);
  Statement statement{.text = std::move(text),
                      .subject = subject_of(words),
                      .kind = is_privilege(words) ? StatementKind::privilege : StatementKind::free,
                      .object = locking_object(words)};
  if (!statement.object.name.empty()) {
    statement.kind = StatementKind::locking;
    statement.subject = statement.object.name;
  }
  return statement;
}

}  // namespace

std::vector<std::string> split_statements(const std::string& sql) {
  std::vector<std::string> statements;
  const std::string_view all = sql;
  std::size_t start = 0;
  for (std::size_t at = 0; at < all.size();) {
    if (all[at] != ';') {
      at = after_token(all, at);
      continue;
    }
    statements.emplace_back(from_first_word(all.substr(start, at - start)));
    start = ++at;
  }
  if (!from_first_word(all.substr(start)).empty())
    throw std::logic_error("a file of db/functions does not end with a semicolon");
  return statements;
}

std::vector<Migration> migrations() {
  std::vector<Migration> all;
  for (const EmbeddedFile& file : embedded_files()) {
    const std::string name = name_in("migrations/", file.name);
    if (!name.empty())
      all.push_back(
          {.version = std::stoi(name), .name = name, .sql = file.text, .locks = locks_of(file.text)});
  }
  return all;
}

std::vector<FunctionFile> function_files() {
  std::vector<FunctionFile> all;
  for (const EmbeddedFile& file : embedded_files()) {
    const std::string name = name_in("functions/", file.name);
    if (name.empty()) continue;
    FunctionFile& functions = all.emplace_back(FunctionFile{.name = name, .statements = {}});
    for (std::string& statement : split_statements(file.text))
      functions.statements.push_back(read_statement(std::move(statement)));
  }
  return all;
}

}  // namespace csrq::store
