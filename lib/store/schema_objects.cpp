#include "store/schema_objects.hpp"

#include <algorithm>
#include <array>
#include <span>
#include <string_view>

#include "store/sql.hpp"

namespace csrq::store {
namespace {

// Whoever changes what it lists adds a migration that empties csrq.schema_object. Partitions come and go.
// Privileges are those of csrq's group roles and of PUBLIC: the others are not csrq's. What the server puts
// into words of its own (a view, a policy) is not compared: another version, or a dump, may choose other
// ones; nor is anything asked for which it would lock a table.
constexpr auto present_sql = R"sql(
    WITH relation AS (
        SELECT c.oid, 'csrq.' || c.relname AS name, c.relkind, c.relacl, c.relrowsecurity
          FROM pg_class c
         WHERE c.relnamespace = 'csrq'::regnamespace AND NOT c.relispartition
           AND c.relkind IN ('r', 'p', 'v', 'i', 'I', 'S')),
    acl AS (
        SELECT r.name, '' AS columns, r.relacl AS acl FROM relation r
        UNION ALL
        SELECT r.name, ' (' || a.attname || ')', a.attacl
          FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0
         WHERE NOT a.attisdropped
        UNION ALL
        SELECT 'function ' || p.oid::regprocedure, '', coalesce(p.proacl, acldefault('f', p.proowner))
          FROM pg_proc p WHERE p.pronamespace = 'csrq'::regnamespace
        UNION ALL
        SELECT 'schema csrq', '', n.nspacl FROM pg_namespace n WHERE n.nspname = 'csrq')
    SELECT CASE WHEN relkind IN ('r', 'p') THEN 'table ' WHEN relkind = 'v' THEN 'view '
                WHEN relkind = 'S' THEN 'sequence ' ELSE 'index ' END || name AS name, '' AS fingerprint
      FROM relation
    UNION ALL
    SELECT 'column ' || r.name || '.' || a.attname, ''
      FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0
     WHERE r.relkind IN ('r', 'p') AND NOT a.attisdropped
    UNION ALL
    SELECT 'constraint ' || c.conname || ' on ' || r.name, ''
      FROM relation r JOIN pg_constraint c ON c.conrelid = r.oid AND c.contype IN ('c', 'f', 'p', 'u', 'x')
    UNION ALL
    SELECT 'default of ' || r.name || '.' || a.attname, ''
      FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid
      JOIN pg_attrdef d ON d.adrelid = r.oid AND d.adnum = a.attnum
     WHERE EXISTS (SELECT FROM pg_depend x JOIN pg_proc p ON p.oid = x.refobjid
                    WHERE x.classid = 'pg_attrdef'::regclass AND x.objid = d.oid
                      AND x.refclassid = 'pg_proc'::regclass AND p.pronamespace = 'csrq'::regnamespace)
    UNION ALL
    SELECT 'row security on ' || r.name, '' FROM relation r WHERE r.relrowsecurity
    UNION ALL
    SELECT 'policy ' || p.polname || ' on ' || r.name, ''
      FROM relation r JOIN pg_policy p ON p.polrelid = r.oid
    UNION ALL
    SELECT 'trigger ' || t.tgname || ' on ' || r.name, t.tgenabled::text
      FROM relation r JOIN pg_trigger t ON t.tgrelid = r.oid AND NOT t.tgisinternal
    UNION ALL
    SELECT 'function ' || p.oid::regprocedure,
           encode(sha256(convert_to(concat_ws(' ', p.prosrc, p.prosecdef, p.provolatile, p.proconfig),
                                    'UTF8')), 'hex')
      FROM pg_proc p WHERE p.pronamespace = 'csrq'::regnamespace
    UNION ALL
    SELECT DISTINCT 'privilege ' || x.privilege_type || acl.columns || ' of '
                    || coalesce(g.rolname, 'PUBLIC') || ' on ' || acl.name, ''
      FROM acl CROSS JOIN aclexplode(acl.acl) x LEFT JOIN pg_roles g ON g.oid = x.grantee
     WHERE x.grantee = 0
        OR g.rolname IN ('csrq_app', 'csrq_worker', 'csrq_responder', 'csrq_admin', 'csrq_dba')
)sql";

constexpr auto may_read_record_sql = R"sql(
    SELECT EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = 'csrq'::regnamespace
                      AND c.relname = 'schema_object' AND has_table_privilege(c.oid, 'SELECT'))
)sql";

constexpr auto recorded_sql = "SELECT name, fingerprint FROM csrq.schema_object";

constexpr auto forget_sql = "DELETE FROM csrq.schema_object WHERE name = ANY ($1::text[])";

constexpr auto record_sql = R"sql(
    INSERT INTO csrq.schema_object AS o (name, fingerprint)
    SELECT * FROM unnest($1::text[], $2::text[])
    ON CONFLICT (name) DO UPDATE SET fingerprint = EXCLUDED.fingerprint
     WHERE o.fingerprint <> EXCLUDED.fingerprint
)sql";

constexpr std::string_view privilege = "privilege ";
constexpr std::array<std::string_view, 4> made_kinds{"function ", "view ", "trigger ", "policy "};
constexpr std::array<std::string_view, 3> set_kinds{"default ", "row security ", privilege};

SchemaObjects read_objects(pqxx::transaction_base& transaction, const char* sql) {
  SchemaObjects objects;
  for (const auto& row : execute(transaction, sql))
    objects.emplace(text(row["name"]), text(row["fingerprint"]));
  return objects;
}

bool starts_with_one_of(std::string_view name, std::span<const std::string_view> kinds) {
  return std::ranges::any_of(kinds, [&](std::string_view kind) { return name.starts_with(kind); });
}

/// By db/functions; the others come of migrations, which run once.
bool can_be_made_again(std::string_view name) {
  return starts_with_one_of(name, made_kinds) || starts_with_one_of(name, set_kinds);
}

/// Whether this binary makes one of that name; a function: with whatever arguments.
bool is_made(std::string_view object, const std::set<std::string>& made) {
  if (!starts_with_one_of(object, made_kinds)) return true;
  std::string name(object.substr(0, object.find('(')));
  std::erase(name, '"');  // csrq."position"
  return made.contains(name);
}

/// Whether another has made it: a DBA his own trigger, say, or a function beside one of csrq's.
bool is_of_others(const std::string& name, const SchemaObjects& before, const SchemaObjects& recorded,
                  const std::set<std::string>& made) {
  if (!is_made(name, made)) return true;
  return starts_with_one_of(name, made_kinds) && before.contains(name) &&
         !is_made_by_csrq(name, recorded, made);
}

std::vector<std::string> all_missing(const SchemaObjects& recorded, const SchemaObjects& present) {
  std::vector<std::string> names;
  for (const auto& [name, fingerprint] : recorded)
    if (!present.contains(name)) names.push_back(name);
  return names;
}

/// "csrq.status" of "view csrq.status": what belongs to it ends with " on csrq.status", or is its column.
bool belongs_to(std::string_view name, std::string_view object) {
  std::string_view whole = object;
  if (!object.starts_with("function ")) whole.remove_prefix(object.find(' ') + 1);
  return name.ends_with(" on " + std::string(whole)) ||
         name.find(" " + std::string(whole) + ".") != std::string_view::npos;
}

std::vector<SchemaDefect> defects(const SchemaObjects& recorded, const SchemaObjects& present) {
  std::vector<SchemaDefect> found;
  const auto add = [&](const std::string& name, const char* what) {
    found.push_back({.sentence = name + what, .can_be_repaired = can_be_made_again(name)});
  };
  for (const std::string& name : missing(recorded, present)) add(name, " is missing");
  for (const auto& [name, fingerprint] : present) {
    const auto was = recorded.find(name);
    if (was == recorded.end() && name.starts_with(privilege))
      add(name, " was granted by somebody else than csrq migrate");
    if (was != recorded.end() && was->second != fingerprint) add(name, " is not as csrq migrate made it");
  }
  return found;
}

}  // namespace

SchemaObjects present_objects(pqxx::transaction_base& transaction) {
  return read_objects(transaction, present_sql);
}

SchemaObjects recorded_objects(pqxx::transaction_base& transaction) {
  if (!one_value(transaction, may_read_record_sql).as<bool>()) return {};
  return read_objects(transaction, recorded_sql);
}

std::vector<std::string> missing(const SchemaObjects& recorded, const SchemaObjects& present) {
  std::vector<std::string> names = all_missing(recorded, present);
  const std::vector<std::string> wholes = names;
  std::erase_if(names, [&](const std::string& name) {
    return std::ranges::any_of(wholes, [&](const std::string& whole) { return belongs_to(name, whole); });
  });
  return names;
}

bool privileges_differ(const SchemaObjects& recorded, const SchemaObjects& present) {
  const auto lacks = [](const SchemaObjects& others) {
    return [&others](const auto& object) {
      return object.first.starts_with(privilege) && !others.contains(object.first);
    };
  };
  return std::ranges::any_of(recorded, lacks(present)) || std::ranges::any_of(present, lacks(recorded));
}

bool is_made_by_csrq(const std::string& object, const SchemaObjects& recorded,
                     const std::set<std::string>& made) {
  return recorded.empty() ? is_made(object, made) : recorded.contains(object);
}

std::vector<std::string> unwanted(const SchemaObjects& recorded, const SchemaObjects& present,
                                  const std::set<std::string>& made) {
  std::vector<std::string> names;
  for (const auto& [name, fingerprint] : recorded)
    if (present.contains(name) && !is_made(name, made)) names.push_back(name);
  return names;
}

std::string table_behind(const std::string& object) {
  if (object.starts_with("function ")) return {};
  return object.substr(object.rfind(' ') + 1);
}

void record_objects(pqxx::transaction_base& transaction, const SchemaObjects& before,
                    const std::set<std::string>& made) {
  SchemaObjects present = present_objects(transaction);
  const SchemaObjects recorded = recorded_objects(transaction);
  std::erase_if(present,
                [&](const auto& object) { return is_of_others(object.first, before, recorded, made); });
  std::vector<std::string> unwanted = all_missing(recorded, present);
  std::erase_if(unwanted,
                [&](const std::string& name) { return !before.contains(name) && !can_be_made_again(name); });
  execute(transaction, forget_sql, {unwanted});
  std::vector<std::string> names;
  std::vector<std::string> fingerprints;
  for (const auto& [name, fingerprint] : present) {
    names.push_back(name);
    fingerprints.push_back(fingerprint);
  }
  execute(transaction, record_sql, {names, fingerprints});
}

std::vector<SchemaDefect> schema_defects(Database& database) {
  std::vector<SchemaDefect> found;
  run_or_refuse(database, [&](pqxx::transaction_base& transaction) {
    const SchemaObjects recorded = recorded_objects(transaction);
    found = recorded.empty() ? std::vector<SchemaDefect>{} : defects(recorded, present_objects(transaction));
  });
  return found;
}

}  // namespace csrq::store
