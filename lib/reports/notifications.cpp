#include "reports/notifications.hpp"

namespace csrq::reports {
namespace {

using store::OpenAlarm;
using store::Undelivered;

constexpr std::size_t customer_width = 20;
constexpr std::size_t summary_width = 50;

constexpr Column<OpenAlarm> of_alarms[]{
    {.name = "raised_at",
     .heading = "ALARM SINCE",
     .value = time<&OpenAlarm::raised_at>,
     .widest = to_the_second},
    {.name = "code", .heading = "CODE", .value = text<&OpenAlarm::code>},
    {.name = "key", .heading = "KEY", .value = text<&OpenAlarm::key>},
    {.name = "detail", .heading = "WHAT", .value = text<&OpenAlarm::detail>}};

constexpr Column<Undelivered> of_undelivered[]{
    {.name = "id", .heading = "MESSAGE", .value = number<&Undelivered::id>},
    {.name = "created_at",
     .heading = "MADE",
     .value = time<&Undelivered::created_at>,
     .widest = to_the_second},
    {.name = "kind", .heading = "KIND", .value = text<&Undelivered::kind>},
    {.name = "customer",
     .heading = "CUSTOMER",
     .value = text<&Undelivered::customer>,
     .widest = customer_width},
    {.name = "channel", .heading = "CHANNEL", .value = text<&Undelivered::channel>},
    {.name = "state", .heading = "STATE", .value = text<&Undelivered::state>},
    {.name = "attempts", .heading = "ATTEMPTS", .value = number<&Undelivered::attempts>},
    {.name = "next_attempt_at",
     .heading = "NEXT",
     .value = time<&Undelivered::next_attempt_at>,
     .widest = to_the_second},
    {.name = "summary", .heading = "SUMMARY", .value = text<&Undelivered::summary>, .widest = summary_width},
    {.name = "last_error", .heading = "ERROR", .value = text<&Undelivered::last_error>}};

}  // namespace

const Columns<OpenAlarm> alarm_columns = of_alarms;
const Columns<Undelivered> undelivered_columns = of_undelivered;

}  // namespace csrq::reports
