#include "store/notifications.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/printable.hpp"
#include "store/json.hpp"
#include "store/sql.hpp"

namespace csrq::store {
namespace {

constexpr auto claim_sql = R"sql(
    SELECT notification_id, channel, attempt, recipient, kind, payload, webhook, array_to_json(email) AS email
      FROM csrq.claim_deliveries($1, $2, $3, $4)
)sql";

// A day's worth of what had no channel: nobody can deliver that any more.
constexpr auto undelivered_sql = R"sql(
    SELECT id, created_at, kind, customer, summary, channel, state, coalesce(attempts, 0) AS attempts,
           next_attempt_at, last_error
      FROM csrq.notifications
     WHERE (state IN ('waiting', 'given up')
            OR state = 'no channel' AND created_at > now() - interval '1 day')
       AND ($1::text IS NULL OR customer = $1)
     ORDER BY id, channel
)sql";

// Of a customer: of its account or one of its requests; what is nobody's in particular concerns everybody.
constexpr auto alarms_sql = R"sql(
    SELECT a.key, split_part(a.key, ':', 1) AS kind, a.code, a.detail, a.raised_at
      FROM csrq.alarm a LEFT JOIN csrq.request r ON r.id = a.request_id
     WHERE a.cleared_at IS NULL
       AND ($1::text IS NULL OR a.owner IN ($1, '') OR r.customer = $1
            OR num_nonnulls(a.owner, a.request_id) = 0)
     ORDER BY a.raised_at, a.id
)sql";

constexpr auto raise_alarm_sql = "SELECT csrq.raise_alarm(csrq.alarm_key($1, $2, $3), $4, $5, $2, $6, $7)";
constexpr auto clear_alarm_sql = "SELECT csrq.clear_alarm(csrq.alarm_key($1, $2, $3), $4)";

constexpr auto customer_channels_sql = R"sql(
    SELECT array_to_json(csrq.notify_channels(name, $2)) AS channels FROM csrq.customer WHERE name = $1
)sql";

Delivery delivery_in(const pqxx::row& row) {
  return {.notification = row["notification_id"].as<std::int64_t>(),
          .channel = text(row["channel"]),
          .attempt = row["attempt"].as<int>(),
          .recipient = text(row["recipient"]),
          .kind = text(row["kind"]),
          .payload = text(row["payload"]),
          .webhook = text(row["webhook"]),
          .email = texts(row["email"])};
}

std::vector<Delivery> claim_in(pqxx::transaction_base& transaction, const std::vector<std::string>& can,
                               const Parameter& only, int limit, Duration claim) {
  std::vector<Delivery> claimed;
  for (const auto& row : execute(transaction, claim_sql, {can, only, limit, claim}))
    claimed.push_back(delivery_in(row));
  return claimed;
}

std::vector<std::string> test_channels(pqxx::transaction_base& transaction, const std::string& customer,
                                       const NotificationRules& rules) {
  if (customer.empty()) return rules.default_channels;
  const auto rows = execute(transaction, customer_channels_sql, {customer, rules.can});
  if (rows.empty()) throw UsageError("there is no customer \"" + customer + "\"");
  auto channels = texts(rows[0]["channels"]);
  if (channels.empty())
    throw UsageError("customer \"" + customer +
                     "\" has no channel of its own: the default recipient is told (set notify_webhook or "
                     "notify_email in csrq.customer, and `notify` in the configuration)");
  return channels;
}

}  // namespace

int make_notifications(Database& database, const NotificationRules& rules) {
  return ask<int>(database, "SELECT csrq.make_notifications($1, $2, $3, $4)",
                  {rules.can, rules.default_channels, rules.digest, rules.soon});
}

std::vector<Delivery> claim_deliveries(Database& database, const std::vector<std::string>& can, int limit,
                                       Duration claim) {
  std::vector<Delivery> claimed;
  database.run([&](pqxx::transaction_base& transaction) {
    claimed = claim_in(transaction, can, std::nullopt, limit, claim);
  });
  return claimed;
}

bool delivery_done(Database& database, const Delivery& delivery, const std::string& error, bool final) {
  return ask<bool>(
      database, "SELECT csrq.delivery_done($1, $2, $3, $4, $5)",
      {delivery.notification, delivery.channel, delivery.attempt, null_if_empty(printable(error)), final});
}

std::vector<Delivery> make_test(Database& database, const std::string& customer,
                                const NotificationRules& rules) {
  constexpr auto claim = std::chrono::minutes(10);
  std::vector<Delivery> claimed;
  run_or_refuse(database, [&](pqxx::transaction_base& transaction) {
    const auto channels = test_channels(transaction, customer, rules);
    const auto id = one_value(transaction, "SELECT csrq.make_test_notification($1, $2)",
                              {null_if_empty(customer), channels})
                        .as<std::int64_t>();
    claimed = claim_in(transaction, channels, id, static_cast<int>(channels.size()), claim);
  });
  return claimed;
}

std::string_view to_string(AlarmKind kind) {
  switch (kind) {
    case AlarmKind::account:
      return "account";
    case AlarmKind::ca:
      return "ca";
    case AlarmKind::name:
      return "name";
    case AlarmKind::orders:
      return "orders";
    case AlarmKind::sealing_key:
      break;
  }
  return "sealing_key";
}

bool raise_alarm(Database& database, const Alarm& alarm) {
  const AlarmKey& key = alarm.key;
  const auto owner = key.kind == AlarmKind::account ? key.subject : std::nullopt;
  return ask<bool>(database, raise_alarm_sql,
                   {to_string(key.kind), null_if_empty(key.directory), key.subject, alarm.code,
                    // The last word on it: what cannot be written would silence the notifier.
                    printable(alarm.detail), owner, alarm.request});
}

bool clear_alarm(Database& database, const AlarmKey& key, Duration unseen_for) {
  return ask<bool>(database, clear_alarm_sql,
                   {to_string(key.kind), null_if_empty(key.directory), key.subject, unseen_for});
}

std::vector<Undelivered> undelivered(Database& database, const std::string& customer) {
  std::vector<Undelivered> found;
  run_or_refuse(database, [&](pqxx::transaction_base& transaction) {
    found.clear();
    for (const auto& row : execute(transaction, undelivered_sql, {null_if_empty(customer)}))
      found.push_back({.id = row["id"].as<std::int64_t>(),
                       .created_at = text(row["created_at"]),
                       .kind = text(row["kind"]),
                       .customer = text(row["customer"]),
                       .summary = text(row["summary"]),
                       .channel = text(row["channel"]),
                       .state = text(row["state"]),
                       .attempts = row["attempts"].as<int>(),
                       .next_attempt_at = text(row["next_attempt_at"]),
                       .last_error = text(row["last_error"])});
  });
  return found;
}

std::vector<OpenAlarm> open_alarms(Database& database, const std::string& customer) {
  std::vector<OpenAlarm> alarms;
  run_or_refuse(database, [&](pqxx::transaction_base& transaction) {
    alarms.clear();
    for (const auto& row : execute(transaction, alarms_sql, {null_if_empty(customer)}))
      alarms.push_back({.key = text(row["key"]),
                        .kind = text(row["kind"]),
                        .code = text(row["code"]),
                        .detail = text(row["detail"]),
                        .raised_at = text(row["raised_at"])});
  });
  return alarms;
}

}  // namespace csrq::store
