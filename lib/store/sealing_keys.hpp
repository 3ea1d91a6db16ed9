#pragma once

#include <string>
#include <vector>

#include "store/database.hpp"

/// Which key seals the account keys in a database: by its id (crypto::SealingKey::id), from the first
/// worker's start on.
namespace csrq::store {

/// Usually one; none before the first worker has started.
std::vector<std::string> sealing_key_ids(Database& database);

/// Called by a worker before it claims a row or makes an account: whether its key is the database's. If the
/// database has none yet, the worker's key becomes the database's. If two workers ask at once, one of them
/// wins.
bool use_sealing_key(Database& database, const std::string& id);

}  // namespace csrq::store
