#pragma once

#include <string>
#include <vector>

#include "store/database.hpp"

namespace csrq::store {

/// The chains of issuers (PEM, root left out) that came with certificates of the CA with this directory, the
/// latest first.
std::vector<std::string> issuers_sent_by(Database& database, const std::string& directory);

}  // namespace csrq::store
