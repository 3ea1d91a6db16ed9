#include "store/schema_source.hpp"

#include <algorithm>
#include <cctype>
#include <iterator>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string_view>

namespace csrq::store {
namespace {

/// "migrations/0002_customers.sql": "0002_customers", or nothing if the file is not in `folder`.
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

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

/// Takes a line from the front of `text`.
std::string_view take_line(std::string_view& text) {
  const std::string_view line = text.substr(0, text.find('\n'));
  text.remove_prefix(std::min(line.size() + 1, text.size()));
  return line;
}

/// Where the next statement may begin: behind a comment that stands on this line.
std::size_t after_line_comment(std::string_view sql, std::size_t at) {
  std::string_view rest = sql.substr(at);
  return trimmed(take_line(rest)).starts_with("--") ? sql.size() - rest.size() : at;
}

/// A blank line ends what a comment is about. Lines of a paragraph are joined; an empty comment line begins
/// another.
SourceStatement read_source(std::string_view source) {
  SourceStatement statement;
  for (std::string_view rest = source; !rest.empty();) {
    const std::string_view from_here = rest;
    const std::string_view line = trimmed(take_line(rest));
    if (line.empty()) {
      statement.comment.clear();
    } else if (!line.starts_with("--")) {
      statement.text = trimmed(from_here);
      break;
    } else if (const std::string_view words = trimmed(line.substr(2)); words.empty()) {
      statement.comment += '\n';
    } else {
      if (!statement.comment.empty() && statement.comment.back() != '\n') statement.comment += ' ';
      statement.comment += words;
    }
  }
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

std::string before_arguments(const std::string& word) {
  return word.substr(0, word.find('('));
}

/// Of a trigger or policy: "… ON csrq.request …".
std::string table_of(const std::vector<std::string>& words) {
  const auto on = std::find(words.begin(), words.end(), "ON");
  if (on == words.end() || std::next(on) == words.end())
    throw std::logic_error("a statement of db/functions names no table: " + words[1] + " " + words[2]);
  return *std::next(on);
}

MadeObject view(const std::string& name) {
  return {.name = "view " + name,
          .lock = {.table = name, .locks_out = LocksOut::readers},
          .make_way = "DROP VIEW IF EXISTS " + name};
}

MadeObject policy(const std::string& name, const std::string& table) {
  return {.name = "policy " + name + " on " + table,
          .lock = {.table = table, .locks_out = LocksOut::readers},
          .make_way = "DROP POLICY IF EXISTS " + name + " ON " + table};
}

MadeObject trigger(const std::string& name, const std::string& table) {
  return {.name = "trigger " + name + " on " + table,
          .lock = {.table = table, .locks_out = LocksOut::writers},
          .make_way = {}};
}

/// These cannot be replaced.
MadeObject constraint_trigger(const std::string& name, const std::string& table) {
  return {.name = "trigger " + name + " on " + table,
          .lock = {.table = table, .locks_out = LocksOut::readers},
          .make_way = "DROP TRIGGER IF EXISTS " + name + " ON " + table};
}

MadeObject altered(const std::vector<std::string>& words) {
  const std::string& table = words[2];
  const bool is_default = words[3] == "ALTER" && words[4] == "COLUMN";
  return {.name = is_default ? "default of " + table + "." + words[5] : "row security on " + table,
          .lock = {.table = table, .locks_out = LocksOut::readers},
          .make_way = {}};
}

MadeObject made_object(const std::vector<std::string>& words) {
  if (words[0] == "ALTER" && words[1] == "TABLE") return altered(words);
  if (words[0] != "CREATE") return {};
  if (words[1] == "FUNCTION")
    return {.name = "function " + before_arguments(words[2]), .lock = {}, .make_way = {}};
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
  if (words[0] == "CREATE") return words[1] + " " + before_arguments(words[2]);
  if (words[0] == "COMMENT") return "COMMENT ON " + before_arguments(words[3]);
  return words[0];
}

StatementKind kind_of(const std::vector<std::string>& words, const MadeObject& object) {
  if (!object.lock.table.empty()) return StatementKind::locking;
  if (!object.name.empty()) return StatementKind::function;
  return is_privilege(words) ? StatementKind::privilege : StatementKind::free;
}

Statement read_statement(const std::string& file, std::string text) {
  const std::vector<std::string> words = words_of(text);
  Statement statement{.file = file,
                      .text = std::move(text),
                      .subject = subject_of(words),
                      .kind = {},
                      .object = made_object(words)};
  statement.kind = kind_of(words, statement.object);
  if (statement.kind == StatementKind::locking) statement.subject = statement.object.name;
  return statement;
}

/// "COMMENT ON FUNCTION csrq.claim IS '…'".
std::string comment_on(const Statement& statement, const std::string& comment) {
  std::string literal;
  for (const char c : comment) literal.append(c == '\'' ? 2 : 1, c);
  return "COMMENT ON " + statement.object.name + " IS '" + literal + "'";
}

bool takes_comment(const Statement& statement) {
  return statement.object.name.starts_with("function ") || statement.object.name.starts_with("view ");
}

void read_file(const std::string& name, const std::string& sql, std::vector<Statement>& all) {
  for (SourceStatement& source : split_statements(sql)) {
    const Statement& made = all.emplace_back(read_statement(name, std::move(source.text)));
    if (!source.comment.empty() && takes_comment(made))
      all.push_back(read_statement(name, comment_on(made, source.comment)));
  }
}

/// What uses something comes after it.
int turn_of(const Statement& statement) {
  if (statement.kind == StatementKind::function) return 0;
  if (statement.object.name.starts_with("view ")) return 1;
  return statement.kind == StatementKind::privilege ? 3 : 2;
}

void refuse_overloads(const std::vector<Statement>& statements) {
  std::set<std::string> names;
  for (const Statement& statement : statements)
    if (statement.kind == StatementKind::function && !names.insert(statement.object.name).second)
      throw std::logic_error("db/functions has two of " + statement.object.name);
}

}  // namespace

std::vector<SourceStatement> split_statements(const std::string& sql) {
  std::vector<SourceStatement> statements;
  const std::string_view all = sql;
  std::size_t start = 0;
  for (std::size_t at = 0; at < all.size();) {
    if (all[at] != ';') {
      at = after_token(all, at);
      continue;
    }
    statements.push_back(read_source(all.substr(start, at - start)));
    start = at = after_line_comment(all, at + 1);
  }
  if (!read_source(all.substr(start)).text.empty())
    throw std::logic_error("a file of db/functions does not end with a semicolon");
  return statements;
}

std::vector<Migration> migrations() {
  std::vector<Migration> all;
  for (const SqlFile& file : sql_files()) {
    const std::string name = name_in("migrations/", file.name);
    if (!name.empty())
      all.push_back(
          {.version = std::stoi(name), .name = name, .sql = file.text, .locks = locks_of(file.text)});
  }
  return all;
}

std::vector<Statement> schema_statements() {
  std::vector<Statement> all;
  for (const SqlFile& file : sql_files())
    if (const std::string name = name_in("functions/", file.name); !name.empty())
      read_file(name, file.text, all);
  refuse_overloads(all);
  std::ranges::stable_sort(all, {}, turn_of);
  return all;
}

}  // namespace csrq::store
