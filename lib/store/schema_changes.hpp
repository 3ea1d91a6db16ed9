#pragma once

#include <functional>
#include <string>
#include <vector>

#include "store/database.hpp"
#include "store/schema_source.hpp"

/// Making, replacing and removing what db/functions makes. Objects are named as schema_objects.hpp has them.
namespace csrq::store {

/// Whether csrq migrate has made an object. Nothing else is ever dropped.
using IsOurs = std::function<bool(const std::string& object)>;

/// Applies one statement. A function that cannot be replaced, since its arguments or its result are others,
/// is made anew; csrq's views, triggers, policies and defaults that use it go with it, which locks readers
/// out of their tables, and are made again as what is missing. Returns whether the result has lost, or never
/// had, its privileges. Throws UsageError if something else uses what has to go (naming it, and the remedy).
bool apply(pqxx::transaction_base& transaction, const Statement& statement, const IsOurs& is_ours);

/// Drops those of these objects that are there, views with csrq's views that use them. Throws as apply().
void drop(pqxx::transaction_base& transaction, const std::vector<std::string>& objects,
          const IsOurs& is_ours);

}  // namespace csrq::store
