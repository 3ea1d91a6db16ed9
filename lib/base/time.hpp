#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace csrq {

/// An instant in UTC. PostgreSQL keeps microseconds, so nothing finer is held anywhere.
using Time = std::chrono::sys_time<std::chrono::microseconds>;
using Duration = std::chrono::microseconds;

/// This machine's clock. Only for what the network and X.509 ask (validity, HTTP dates) and for logs: due
/// times and leases are computed by the database, whose clock is the clock.
Time now();

/// RFC 3339, the date-time of RFC 8555 fields ("2026-11-23T10:00:00Z", fractions and offsets allowed).
std::optional<Time> parse_rfc3339(std::string_view text);
/// "2026-11-23T10:00:00Z", always UTC, whole seconds.
std::string to_rfc3339(Time time);

/// A configured duration: a number and a unit (ms, s, m, h, d, y of 365 days), for example "10m" or "1.5h".
std::optional<Duration> parse_duration(std::string_view text);
/// The shortest text that parse_duration reads back to the same value: "90s", "10m", "1d".
std::string to_text(Duration duration);

inline double seconds(Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace csrq
