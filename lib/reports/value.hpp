#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace csrq::reports {

/// A time as store::text() reads it: RFC 3339 in UTC.
struct Instant {
  explicit Instant(std::string text) : rfc3339(std::move(text)) {}
  std::string rfc3339;
};

/// A JSON text on one line, whole: PostgreSQL wrote it, or this folder.
struct Json {
  explicit Json(std::string json) : text(std::move(json)) {}
  std::string text;
};

/// The error of a request or order as the database keeps it: JSON with a `code` and a `detail` for people.
struct Problem {
  explicit Problem(std::string document) : json(std::move(document)) {}
  std::string json;
};

/// What a row says in one column, by kind; std::monostate is NULL.
using Value = std::variant<std::monostate, std::string, std::int64_t, double, bool, Instant,
                           std::vector<std::string>, std::vector<std::int64_t>, Json, Problem>;

}  // namespace csrq::reports
