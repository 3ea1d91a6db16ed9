#pragma once

#include <string>
#include <vector>

#include "store/database.hpp"

/// What `csrq dev` sets up in its private cluster. Everything can be repeated.
namespace csrq::store {

/// Makes the database if it is missing. `options` name another one of the same cluster and a login that may.
/// Throws Unreachable.
void create_database(const DatabaseOptions& options, const std::string& name);

struct Login {
  std::string name{};
  std::string password{};
  std::vector<std::string> roles{};      ///< group roles that it is a member of
  std::vector<std::string> customers{};  ///< csrq.app_access; "*": all
};

/// Makes the login, or changes its password, and adds what it may do. Needs a superuser. Throws UsageError.
void make_login(Database& database, const Login& login);

}  // namespace csrq::store
