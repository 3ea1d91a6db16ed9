#pragma once

#include <string>

#include "base/error.hpp"

namespace csrq::store {

/// What stands in csrq.request.error: the CA's problem document (if any) with "class", "code" and "detail".
/// "request" is the request to the CA that failed, "failed_names" are names of the row, and "account" is the
/// id of the account that the row waits for: a CA's members of these names are left out.
std::string error_json(const Failure& failure);

}  // namespace csrq::store
