#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.hpp"
#include "store/database.hpp"

/// Messages to people: made from events and alarms, kept in an outbox until delivered
/// (db/functions/notifications/). Functions return after their commit.
namespace csrq::store {

struct NotificationRules {
  std::vector<std::string> can{};               ///< "webhook", "mail": what this process has the means for
  std::vector<std::string> default_channels{};  ///< those of the default recipient
  Duration digest{};                            ///< between two messages about one cause
  Duration soon{};                              ///< from the first failure of a new cause to its message
};
/// Reads new events and makes the messages that are due, unless another process is doing so. Returns how
/// many. Nobody else may use `database` meanwhile: a shared transaction would pass over its own events.
int make_notifications(Database& database, const NotificationRules& rules);

/// A message to be sent through one channel, claimed.
struct Delivery {
  std::int64_t notification{};
  std::string channel{};
  int attempt{};
  std::string recipient{};  ///< a customer; empty: the default one
  std::string kind{};
  std::string payload{};             ///< JSON, the same for every attempt
  std::string webhook{};             ///< the customer's, if it has one
  std::vector<std::string> email{};  ///< the customer's
};
/// Takes due deliveries for `claim`: at most one for each recipient and channel, so a dead recipient holds up
/// no other.
std::vector<Delivery> claim_deliveries(Database& database, const std::vector<std::string>& can, int limit,
                                       Duration claim);
/// What became of it; `error` empty: it was accepted. `final`: not to be tried again. True: it is given up.
bool delivery_done(Database& database, const Delivery& delivery, const std::string& error, bool final);

/// A test message, claimed for sending at once. `customer` empty: the default recipient. Throws UsageError
/// for a customer that does not exist or has none of the channels of its own.
std::vector<Delivery> make_test(Database& database, const std::string& customer,
                                const NotificationRules& rules);

enum class AlarmKind {
  account,      ///< it cannot be used; its next certificate ends the alarm
  ca,           ///< it is out of reach
  name,         ///< the CA has paused it
  orders,       ///< the CA does not finish with them
  sealing_key,  ///< it cannot be read, or does not open the accounts
};
std::string_view to_string(AlarmKind kind);

/// What an alarm is about: there is one open alarm for each. Its text is csrq.alarm_key()'s.
struct AlarmKey {
  AlarmKind kind{};
  std::string directory{};               ///< of the CA; empty: it is about none
  std::optional<std::string> subject{};  ///< the account's owner, the name, the sealing key's host
};

struct Alarm {
  AlarmKey key{};
  std::string code{};  ///< stable and short
  std::string detail{};
  std::optional<std::int64_t> request{};  ///< whose next certificate, or cancellation, ends the alarm
};
/// As often as one likes. True: it is new.
bool raise_alarm(Database& database, const Alarm& alarm);
/// Ends the alarm, unless somebody has met its cause within `unseen_for`.
bool clear_alarm(Database& database, const AlarmKey& key, Duration unseen_for = {});

/// Rows of csrq.notifications that are not delivered, and of csrq.alarms; times are RFC 3339 in UTC,
/// empty for null.
struct Undelivered {
  std::int64_t id{};
  std::string created_at{};
  std::string kind{};
  std::string customer{};
  std::string summary{};
  std::string channel{};
  std::string state{};
  int attempts{};
  std::string next_attempt_at{};
  std::string last_error{};
};
std::vector<Undelivered> undelivered(Database& database, const std::string& customer);

struct OpenAlarm {
  std::string key{};   ///< "ca:https://…", "sealing_key:host"
  std::string kind{};  ///< to_string(AlarmKind)
  std::string code{};
  std::string detail{};
  std::string raised_at{};
};
/// The oldest first. `customer`: those that concern it; empty: all.
std::vector<OpenAlarm> open_alarms(Database& database, const std::string& customer = {});

}  // namespace csrq::store
