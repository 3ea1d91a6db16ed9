#include <doctest/doctest.h>

#include <set>

#include "db/store_fixture.hpp"
#include "store/schema_source.hpp"

using namespace csrq;
using namespace csrq::test;

namespace {

constexpr auto tables_sql = R"sql(
    SELECT 'csrq.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = 'csrq' AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
)sql";

constexpr auto locks_sql = R"sql(
    SELECT 'csrq.' || c.relname, bool_or(l.mode = 'AccessExclusiveLock')
      FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
     WHERE l.pid = pg_backend_pid() AND c.relnamespace = 'csrq'::regnamespace
       AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
     GROUP BY c.relname ORDER BY c.relname
)sql";

std::string head_line(const std::string& locks_out, const std::string& tables) {
  return tables.empty() ? "" : "-- Locks out " + locks_out + " of " + tables + ".\n";
}

void add(std::string& list, const std::string& table) {
  list += (list.empty() ? "" : ", ") + table;
}

std::string head_of(const std::vector<store::TableLock>& locks) {
  std::string readers;
  std::string writers;
  for (const store::TableLock& lock : locks)
    add(lock.locks_out == store::LocksOut::readers ? readers : writers, lock.table);
  return head_line("readers", readers) + head_line("writers", writers);
}

/// The locks that a migration takes on what was there before it.
std::vector<store::TableLock> locks_taken(pqxx::connection& connection, const store::Migration& migration) {
  pqxx::work transaction(connection);
  std::set<std::string> before;
  for (const auto& row : transaction.exec(tables_sql)) before.insert(row[0].c_str());
  transaction.exec(migration.sql);
  std::vector<store::TableLock> locks;
  for (const auto& row : transaction.exec(locks_sql))
    if (before.contains(row[0].c_str()))
      locks.push_back({.table = row[0].c_str(),
                       .locks_out = row[1].as<bool>() ? store::LocksOut::readers : store::LocksOut::writers});
  transaction.commit();
  return locks;
}

}  // namespace

TEST_CASE("the head of each migration says which tables it locks readers or writers out of") {
  pqxx::connection connection(empty_database_url());
  for (const store::Migration& migration : store::migrations()) {
    CAPTURE(migration.name);
    CHECK(head_of(migration.locks) == head_of(locks_taken(connection, migration)));
  }
}
