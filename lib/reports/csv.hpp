#pragma once

#include <string>
#include <vector>

#include "reports/value.hpp"

namespace csrq::reports {

/// A record of RFC 4180: its fields quoted where they must be, ended by CRLF. A time is RFC 3339, the
/// elements of a list are separated by blanks; NULL is empty.
std::string csv_record(const std::vector<Value>& fields);

}  // namespace csrq::reports
