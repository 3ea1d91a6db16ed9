#pragma once

#include <string>
#include <vector>

#include "base/time.hpp"
#include "store/database.hpp"

/// What `csrq doctor` asks the database.
namespace csrq::store {

struct ServerFacts {
  std::string version{};  ///< "15.14"
  int version_number{};   ///< 150014
  std::string database{};
  std::string login{};
  bool is_standby{};
  Time clock{};
};
ServerFacts server_facts(Database& database);

/// A sentence for each thing that this login needs to do as a worker (or only as a responder), and may not
/// do. Empty: all is well.
std::vector<std::string> missing_privileges(Database& database);
std::vector<std::string> missing_responder_privileges(Database& database);

}  // namespace csrq::store
