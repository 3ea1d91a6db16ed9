#include "reports/requests.hpp"

namespace csrq::reports {
namespace {

using store::HistoryRow;
using store::RetryReport;
using store::StatusRow;

template <auto member>
Value other_request(const StatusRow& row) {
  const auto id = row.*member;
  return id ? Value("request " + std::to_string(store::number(*id))) : Value();
}

constexpr std::size_t customer_width = 20;
constexpr std::size_t names_width = 44;
constexpr std::size_t error_width = 60;
constexpr std::size_t gist_width = 120;

constexpr Column<StatusRow> of_status[]{
    {.name = "id", .heading = "ID", .label = "request", .value = number<&StatusRow::id>},
    {.name = "customer",
     .heading = "CUSTOMER",
     .label = "customer",
     .value = text<&StatusRow::customer>,
     .widest = customer_width},
    {.name = "names",
     .heading = "NAMES",
     .label = "names",
     .value = list<&StatusRow::names>,
     .widest = names_width},
    {.name = "state", .heading = "STATE", .label = "state", .value = text<&StatusRow::state>},
    {.name = "attempts", .label = "attempts", .value = number<&StatusRow::attempts>},
    {.name = "failures", .label = "failures", .value = number<&StatusRow::failures>},
    {.name = "days_left", .heading = "DAYS", .label = "days left", .value = number<&StatusRow::days_left>},
    {.name = "next_attempt_at",
     .heading = "NEXT ATTEMPT",
     .label = "next attempt",
     .value = time<&StatusRow::next_attempt_at>,
     .widest = to_the_second},
    {.name = "earliest_issue_at", .label = "earliest issue", .value = time<&StatusRow::earliest_issue_at>},
    {.name = "error",
     .heading = "ERROR",
     .label = "error",
     .value = problem<&StatusRow::error>,
     .widest = error_width},
    {.name = "not_after", .label = "not after", .value = time<&StatusRow::not_after>},
    {.name = "renew_at", .label = "renewal", .value = time<&StatusRow::renew_at>},
    {.name = "issued_by", .label = "issued by", .value = optional_text<&StatusRow::issued_by>},
    {.name = "worker", .label = "worker", .value = optional_text<&StatusRow::worker>},
    {.name = "updated_at", .label = "updated", .value = time<&StatusRow::updated_at>},
    {.name = "replaces", .value = number<&StatusRow::replaces>},
    {.label = "replaces", .value = other_request<&StatusRow::replaces>},
    {.name = "replaced_by", .value = number<&StatusRow::replaced_by>},
    {.label = "replaced by", .value = other_request<&StatusRow::replaced_by>}};

constexpr Column<HistoryRow> of_history[]{
    {.name = "at", .heading = "AT", .value = time<&HistoryRow::at>, .widest = to_the_millisecond},
    {.name = "what", .heading = "WHAT", .value = text<&HistoryRow::what>},
    {.name = "worker", .heading = "WORKER", .value = optional_text<&HistoryRow::worker>},
    {.name = "detail", .heading = "DETAIL", .value = document<&HistoryRow::detail>, .widest = gist_width}};

constexpr Column<RetryReport> of_retry[]{
    {.name = "rows", .value = number<&RetryReport::rows>},
    {.name = "first_at", .value = time<&RetryReport::first_at>},
    {.name = "last_at", .value = time<&RetryReport::last_at>},
    {.name = "last_issue_at", .value = time<&RetryReport::last_issue_at>},
    {.name = "limited", .value = number<&RetryReport::limited>},
    {.name = "limited_until", .value = time<&RetryReport::limited_until>}};

}  // namespace

const Columns<StatusRow> status_columns = of_status;
const Columns<HistoryRow> history_columns = of_history;
const Columns<RetryReport> retry_columns = of_retry;

}  // namespace csrq::reports
