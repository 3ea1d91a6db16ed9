#pragma once

#include <string>

#include "store/database.hpp"

/// Who keeps a session waiting, in words: process, login, application, since when, and the first words of its
/// query, as far as this login may see them, without the values in it.
namespace csrq::store {

/// Of those that hold a lock which the session with this process id waits for. Empty: it does not wait.
std::string blockers_of(pqxx::transaction_base& transaction, int process);

/// Of the one that holds the advisory lock of this number in this database.
std::string holder_of_advisory_lock(pqxx::transaction_base& transaction, int lock);

}  // namespace csrq::store
