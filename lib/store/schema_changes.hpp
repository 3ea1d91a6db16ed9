#pragma once

#include <string>
#include <vector>

#include "store/database.hpp"
#include "store/schema_source.hpp"

/// Making, replacing and removing what db/functions makes.
namespace csrq::store {

/// Applies one statement. A function that cannot be replaced, since its arguments or its result are others,
/// is made anew; csrq's views, triggers, policies and defaults that use it go with it, and are made again as
/// what is missing. Returns whether the result has lost, or never had, its privileges. Throws UsageError if
/// something that is not csrq's uses what has to go (naming it, and the remedy).
bool apply(pqxx::transaction_base& transaction, const Statement& statement);

/// Drops functions, views, triggers and policies, named as schema_objects.hpp has them. Throws as apply().
void drop(pqxx::transaction_base& transaction, const std::vector<std::string>& objects);

}  // namespace csrq::store
