#include <iostream>

#include <nlohmann/json.hpp>

#include "app/command.hpp"
#include "app/environment.hpp"
#include "app/json_line.hpp"
#include "app/table.hpp"
#include "base/printable.hpp"
#include "store/notifications.hpp"
#include "workers/notification_channels.hpp"

namespace csrq::app {
namespace {

using nlohmann::json;

/// "" if the other side accepted it.
std::string send_now(workers::NotificationChannels& channels, const store::Delivery& delivery) {
  try {
    channels.send(delivery, {});
    return {};
  } catch (const std::exception& error) {
    return error.what();
  }
}

void print_outcome(const store::Delivery& delivery, const std::string& error) {
  std::cout << printable(delivery.channel + ": " + (error.empty() ? "accepted" : "not accepted: " + error))
            << "\n";
}

Exit test(const Arguments& arguments, const Config& config) {
  workers::NotificationChannels channels(config.notify);
  const std::string customer = arguments.text("customer");
  const store::NotificationRules rules = channels.rules({});
  if (customer.empty() && rules.default_channels.empty())
    throw UsageError(config.file +
                     ": `notify` has neither webhook.url nor smtp.to: nobody is told by default");
  const auto database = open_database(config);
  json outcomes = json::array();
  bool all_accepted = true;
  for (const store::Delivery& delivery : store::make_test(*database, customer, rules)) {
    const std::string error = send_now(channels, delivery);
    store::delivery_done(*database, delivery, error, true);
    all_accepted = all_accepted && error.empty();
    if (!arguments.json()) print_outcome(delivery, error);
    outcomes.push_back({{"message", delivery.notification},
                        {"channel", delivery.channel},
                        {"accepted", error.empty()},
                        {"error", error}});
  }
  if (arguments.json()) std::cout << json_line(outcomes);
  return all_accepted ? Exit::done : Exit::some_failed;
}

json to_json(const std::vector<store::OpenAlarm>& alarms) {
  json all = json::array();
  for (const auto& alarm : alarms)
    all.push_back(
        {{"key", alarm.key}, {"code", alarm.code}, {"detail", alarm.detail}, {"raised_at", alarm.raised_at}});
  return all;
}

json to_json(const std::vector<store::Undelivered>& messages) {
  json all = json::array();
  for (const auto& message : messages)
    all.push_back({{"id", message.id},
                   {"created_at", message.created_at},
                   {"kind", message.kind},
                   {"customer", message.customer},
                   {"summary", message.summary},
                   {"channel", message.channel},
                   {"state", message.state},
                   {"attempts", message.attempts},
                   {"next_attempt_at", message.next_attempt_at},
                   {"last_error", message.last_error}});
  return all;
}

void print_alarms(const std::vector<store::OpenAlarm>& alarms) {
  if (alarms.empty()) {
    std::cout << "no open alarms\n";
    return;
  }
  std::vector<std::vector<std::string>> rows;
  rows.reserve(alarms.size());
  for (const auto& alarm : alarms)
    rows.push_back({shown_time(alarm.raised_at), alarm.code, alarm.key, alarm.detail});
  print_table(std::cout, {"ALARM SINCE", "CODE", "KEY", "WHAT"}, rows);
}

void print_undelivered(const std::vector<store::Undelivered>& messages) {
  if (messages.empty()) {
    std::cout << "no undelivered messages\n";
    return;
  }
  std::vector<std::vector<std::string>> rows;
  rows.reserve(messages.size());
  for (const auto& message : messages)
    rows.push_back({std::to_string(message.id), shown_time(message.created_at), message.kind,
                    shortened(message.customer, 20), message.channel, message.state,
                    std::to_string(message.attempts), shown_time(message.next_attempt_at),
                    shortened(message.summary, 50), message.last_error});
  print_table(
      std::cout,
      {"MESSAGE", "MADE", "KIND", "CUSTOMER", "CHANNEL", "STATE", "ATTEMPTS", "NEXT", "SUMMARY", "ERROR"},
      rows);
}

Exit list(const Arguments& arguments, const Config& config) {
  const auto database = open_database(config);
  const std::vector<store::OpenAlarm> alarms = store::open_alarms(*database);
  const std::vector<store::Undelivered> messages = store::undelivered(*database, arguments.text("customer"));
  if (arguments.json()) {
    std::cout << json_line({{"alarms", to_json(alarms)}, {"undelivered", to_json(messages)}});
  } else {
    print_alarms(alarms);
    print_undelivered(messages);
  }
  return Exit::done;
}

Exit run(const Arguments& arguments) {
  arguments.expect_no_positional();
  const Config config = arguments.config();
  if (arguments.has("signing-key")) {
    const workers::NotificationChannels channels(config.notify);
    std::cout << channels.signing_key(arguments.text("customer")).reveal() << "\n";
    return Exit::done;
  }
  return arguments.has("test") ? test(arguments, config) : list(arguments, config);
}

}  // namespace

const Command notify_command{
    .name = "notify",
    .synopsis = "[--test | --signing-key] [--customer NAME]",
    .summary = "test the ways to people, list open alarms and undelivered messages",
    .help = R"(
Lists the alarms that are open, and the messages that wait for their next attempt, were given up after three days, or
had no channel to go through; the same as SELECT * FROM csrq.alarms and csrq.notifications.

--test sends a message through every channel of the default recipient, or of a customer, and says whether it was
accepted. --signing-key prints the key that verifies webhooks, a customer's own with --customer.

Exit code: 0 done; 1 a channel did not accept the test; 2 configuration, or no channel; 3 database out of reach.
)",
    .describe =
        [](OptionsDescription& options) {
          options.flag("test", "send a test message through every channel")
              .flag("signing-key", "print the key that signs webhooks")
              .text("customer", "NAME", "this customer instead of the default recipient");
        },
    .run = run,
};

}  // namespace csrq::app
