#include "reports/limits.hpp"

namespace csrq::reports {
namespace {

using store::ForgottenLimits;
using store::RateLimitRow;

constexpr std::size_t key_width = 40;
constexpr std::size_t reason_width = 60;

Value ca_or_directory(const RateLimitRow& row) {
  return row.ca.empty() ? row.directory : row.ca;
}

/// The limit of every subject, of whom none has used any yet, has no key.
Value subject(const RateLimitRow& row) {
  return row.key.empty() ? "(each)" : row.key;
}

Value allowance(const RateLimitRow& row) {
  return row.burst ? std::to_string(*row.burst) + " per " + row.period : "-";
}

Value waiting_if_any(const RateLimitRow& row) {
  return row.waiting == 0 ? Value() : Value(row.waiting);
}

Value binds_renewals(const RateLimitRow& row) {
  return row.binds_renewals ? Value(*row.binds_renewals) : Value();
}

constexpr Column<RateLimitRow> of_rate_limits[]{
    {.name = "ca", .value = optional_text<&RateLimitRow::ca>},
    {.name = "directory", .value = text<&RateLimitRow::directory>},
    {.heading = "CA", .value = ca_or_directory},
    {.name = "name", .heading = "LIMIT", .value = text<&RateLimitRow::name>},
    {.name = "key", .value = text<&RateLimitRow::key>},
    {.heading = "OF", .value = subject, .widest = key_width},
    {.name = "customer", .value = optional_text<&RateLimitRow::customer>},
    {.name = "burst", .value = number<&RateLimitRow::burst>},
    {.name = "period", .value = optional_text<&RateLimitRow::period>},
    {.heading = "ALLOWS", .value = allowance},
    {.name = "left", .heading = "LEFT", .value = number<&RateLimitRow::left>},
    {.name = "next_at", .heading = "NEXT AT", .value = time<&RateLimitRow::next_at>, .widest = to_the_second},
    {.name = "held_until", .value = time<&RateLimitRow::held_until>},
    {.name = "waiting", .value = number<&RateLimitRow::waiting>},
    {.heading = "WAITING", .value = waiting_if_any},
    {.name = "last_starts_at",
     .heading = "LAST STARTS",
     .value = time<&RateLimitRow::last_starts_at>,
     .widest = to_the_second},
    {.name = "binds_renewals", .value = binds_renewals},
    {.name = "reason",
     .heading = "THE CA SAID",
     .value = optional_text<&RateLimitRow::reason>,
     .widest = reason_width},
    {.name = "renewals", .value = optional_text<&RateLimitRow::renewals>},
    {.name = "source", .value = optional_text<&RateLimitRow::source>}};

constexpr Column<ForgottenLimits> of_forgotten[]{
    {.name = "forgotten", .value = number<&ForgottenLimits::forgotten>},
    {.name = "rows", .value = number<&ForgottenLimits::rows>},
    {.name = "last_at", .value = time<&ForgottenLimits::last_at>}};

}  // namespace

const Columns<RateLimitRow> rate_limit_columns = of_rate_limits;
const Columns<ForgottenLimits> forgotten_limit_columns = of_forgotten;

}  // namespace csrq::reports
