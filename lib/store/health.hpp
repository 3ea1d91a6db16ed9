#pragma once

#include <cstdint>
#include <string>

#include "base/time.hpp"
#include "store/database.hpp"

namespace csrq::store {

/// Certificates whose renewal is due and that end soon, the first to end of them. Suspended customers' are
/// not among them.
struct EndingSoon {
  std::int64_t certificates{};
  std::int64_t request{};
  std::string customer{};
  std::string name{};
  std::string not_after{};  ///< RFC 3339, UTC
};

/// What monitoring asks. It reads small tables only, so it costs the same however many certificates there
/// are.
struct Health {
  EndingSoon critical{};
  EndingSoon warning{};        ///< those of `critical` not counted
  std::int64_t need_person{};  ///< rows that have failed for good or were taken out of the queue
  std::int64_t workers{};      ///< processes whose heartbeat is fresh
  std::int64_t due{};      ///< rows that may start now; those in bulk and of suspended customers are left out
  Duration longest_due{};  ///< how long the oldest of them has been due
};

/// `warning` and `critical`: how long before the end of a certificate, but at most a sixth and a thirtieth of
/// its lifetime. `customer`: empty for all. Throws UsageError for a missing privilege or an unknown customer.
Health health(Database& database, Duration warning, Duration critical, const std::string& customer);

}  // namespace csrq::store
