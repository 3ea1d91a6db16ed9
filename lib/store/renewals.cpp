#include "store/renewals.hpp"

#include <algorithm>

#include "store/sql.hpp"

namespace csrq::store {
namespace {

constexpr auto plan_sql = "SELECT day, renewals, moved FROM csrq.renewal_plan($1)";
constexpr auto spread_sql = "SELECT from_day, to_day, earliest_day, renewals FROM csrq.spread_plan($1)";
constexpr auto move_sql = "SELECT csrq.move_renewals($1, $2, $3, $4, $5)";

}  // namespace

std::vector<RenewalDay> renewal_plan(Database& database, int days) {
  std::vector<RenewalDay> plan;
  run_or_refuse(database, [&](pqxx::transaction_base& transaction) {
    plan.clear();
    for (const auto& row : execute(transaction, plan_sql, {days}))
      plan.push_back({.day = text(row["day"]),
                      .renewals = row["renewals"].as<std::int64_t>(),
                      .moved = row["moved"].as<std::int64_t>()});
  });
  return plan;
}

std::vector<RenewalMove> spread_plan(Database& database, int days) {
  std::vector<RenewalMove> moves;
  run_or_refuse(database, [&](pqxx::transaction_base& transaction) {
    moves.clear();
    for (const auto& row : execute(transaction, spread_sql, {days}))
      moves.push_back({.from = text(row["from_day"]),
                       .to = text(row["to_day"]),
                       .earliest = text(row["earliest_day"]),
                       .renewals = row["renewals"].as<std::int64_t>()});
  });
  return moves;
}

std::int64_t move_renewals(Database& database, const RenewalMove& move, int days, int batch) {
  std::int64_t moved = 0;
  while (moved < move.renewals) {
    const std::int64_t wanted = std::min<std::int64_t>(batch, move.renewals - moved);
    const std::int64_t got =
        ask_or_refuse<std::int64_t>(database, move_sql, {move.from, move.to, move.earliest, days, wanted});
    moved += got;
    if (got < wanted) break;  // renewed since, or in somebody's hands
  }
  return moved;
}

std::int64_t level_renewals(Database& database, int days, const std::function<bool()>& stopped) {
  std::int64_t moved = 0;
  if (!ask<bool>(database, "SELECT csrq.take_levelling()")) return moved;
  for (const RenewalMove& move : spread_plan(database, days)) {
    if (stopped()) break;
    moved += move_renewals(database, move, days);
  }
  return moved;
}

}  // namespace csrq::store
