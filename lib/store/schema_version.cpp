#include "store/schema_version.hpp"

#include <algorithm>
#include <string_view>
#include <vector>

#include "store/schema_source.hpp"
#include "store/sql.hpp"

namespace csrq::store {
namespace {

// Not to_regclass: without USAGE on the schema it raises an error.
constexpr auto has_schema_sql = R"sql(
    SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                    WHERE n.nspname = 'csrq' AND c.relname = 'schema_version')
)sql";

bool functions_are_current(pqxx::transaction_base& transaction) {
  // Apps and responders may not read the settings; what they call is checked by whoever may.
  if (!one_value(transaction, "SELECT has_table_privilege('csrq.setting', 'SELECT')").as<bool>()) return true;
  const auto rows = execute(transaction, "SELECT value FROM csrq.setting WHERE name = 'functions_sha256'");
  return !rows.empty() && text(rows[0]["value"]) == functions_sha256(transaction);
}

/// The migrations up to then were made anew as whole tables: the same numbers stand for others.
void refuse_schema_from_before_0_1_0(const pqxx::result& applied) {
  const std::vector<Migration> known = migrations();
  for (const auto& row : applied) {
    const auto mine = std::ranges::find(known, row["version"].as<int>(), &Migration::version);
    if (mine == known.end() || mine->name == text(row["name"])) continue;
    throw WrongSchema("the schema csrq was made before 0.1.0 (by migration " + text(row["name"]) +
                      ", which is now " + mine->name + "), and nothing brings it up to date: " +
                      "remove it with all its rows (DROP SCHEMA csrq CASCADE), then run `csrq migrate`");
  }
}

int installed_version(pqxx::transaction_base& transaction) {
  if (!has_schema(transaction)) return 0;
  if (!one_value(transaction, "SELECT has_schema_privilege('csrq', 'USAGE')").as<bool>())
    throw UsageError(login_of(transaction) +
                     " may not use the schema csrq: make it a member of one of the csrq roles, " +
                     "for example with GRANT csrq_worker TO it");
  const pqxx::result applied =
      execute(transaction, "SELECT version, name FROM csrq.schema_version ORDER BY version");
  refuse_schema_from_before_0_1_0(applied);
  return applied.empty() ? 0 : applied.back()["version"].as<int>();
}

}  // namespace

SchemaVersion schema_version(pqxx::transaction_base& transaction) {
  SchemaVersion version{.installed = installed_version(transaction),
                        .known = migrations().back().version,
                        .functions_current = false};
  version.functions_current = version.installed > 0 && functions_are_current(transaction);
  return version;
}

bool has_schema(pqxx::transaction_base& transaction) {
  return one_value(transaction, has_schema_sql).as<bool>();
}

std::string functions_sha256(pqxx::transaction_base& transaction) {
  static const std::string sha256 = [&transaction] {
    std::string all;
    for (const SqlFile& file : sql_files())
      if (std::string_view(file.name).starts_with("functions/")) all += file.text;
    return text(one_value(transaction, "SELECT encode(sha256(convert_to($1, 'UTF8')), 'hex')", {all}));
  }();
  return sha256;
}

std::string login_of(pqxx::transaction_base& transaction) {
  return "login \"" + text(one_value(transaction, "SELECT session_user")) + "\"";
}

}  // namespace csrq::store
