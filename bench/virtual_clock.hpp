#pragma once

#include <string>

#include <pqxx/pqxx>

#include "base/time.hpp"

namespace csrq::bench {

/// Makes csrq's functions and column defaults of this database take their time from the setting
/// `simulated.now` of the session instead of the clock. Not its views.
void install_virtual_clock(pqxx::connection& connection);
/// What now() is from now on in this session.
void set_virtual_clock(pqxx::transaction_base& transaction, Time now);

}  // namespace csrq::bench
