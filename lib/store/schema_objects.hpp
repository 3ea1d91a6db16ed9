#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "store/database.hpp"

/// What the schema csrq consists of, as the catalogue has it, and as csrq migrate has left it.
namespace csrq::store {

/// By name ("view csrq.status", "privilege SELECT of csrq_app on csrq.status"), with what can be compared.
using SchemaObjects = std::map<std::string, std::string>;

SchemaObjects present_objects(pqxx::transaction_base& transaction);
/// Empty where csrq migrate has not recorded any, or where this login may not read the record.
SchemaObjects recorded_objects(pqxx::transaction_base& transaction);

/// Names of those that are there no more, without what belonged to them.
std::vector<std::string> missing(const SchemaObjects& recorded, const SchemaObjects& present);
bool privileges_differ(const SchemaObjects& recorded, const SchemaObjects& present);

/// Whether csrq migrate has made an object: it says so in its record, or, where that is empty, has it among
/// what it makes. `made`: names as MadeObject has them.
bool is_made_by_csrq(const std::string& object, const SchemaObjects& recorded,
                     const std::set<std::string>& made);

/// Functions, views, triggers and policies that csrq migrate once recorded and that are there, but not `made`
/// by this binary.
std::vector<std::string> unwanted(const SchemaObjects& recorded, const SchemaObjects& present,
                                  const std::set<std::string>& made);
/// The table or view that dropping such an object locks; empty for a function.
std::string table_behind(const std::string& object);

/// Records what is there, but no functions, views, triggers and policies that others have made. What is
/// missing stays in the record, unless it was there `before` or can be made again: then nobody wants it any
/// more.
void record_objects(pqxx::transaction_base& transaction, const SchemaObjects& before,
                    const std::set<std::string>& made);

struct SchemaDefect {
  std::string sentence{};  ///< "view csrq.status is missing"
  bool can_be_repaired{};  ///< by csrq migrate; else only a backup has it
};

/// What is missing or has been changed since csrq migrate; empty: all is as it was, or cannot be known by
/// this login.
std::vector<SchemaDefect> schema_defects(Database& database);

}  // namespace csrq::store
