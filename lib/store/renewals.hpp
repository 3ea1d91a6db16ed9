#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "store/database.hpp"

/// The coming renewals. Days are those of UTC, as "2026-11-25". All throw UsageError for numbers of days out
/// of range, or a missing privilege.
namespace csrq::store {

struct RenewalDay {
  std::string day{};
  std::int64_t renewals{};
  std::int64_t moved{};  ///< of them moved ahead to level the load
};
/// A line for each of the next `days`, today and what is overdue first.
std::vector<RenewalDay> renewal_plan(Database& database, int days);

/// `renewals` of those planned for `from` and movable to `earliest`, to be moved to `to`.
struct RenewalMove {
  std::string from{};
  std::string to{};
  std::string earliest{};
  std::int64_t renewals{};
};
/// The moves that level the load: they move renewals ahead, by at most `days`. Changes nothing.
std::vector<RenewalMove> spread_plan(Database& database, int days);
/// Makes the move of a plan for `days`, with at most `batch` rows in a transaction; returns how many rows
/// were moved. Rows that somebody else has at the moment are left where they are.
std::int64_t move_renewals(Database& database, const RenewalMove& move, int days, int batch = 10'000);

/// Plans and makes the moves that level the load, by at most `days` ahead, if a day to come is a spike (500
/// renewals or more, and more than twice the average) and nobody has looked within 24 hours. Returns how many
/// were moved.
std::int64_t level_renewals(Database& database, int days, const std::function<bool()>& stopped);

}  // namespace csrq::store
