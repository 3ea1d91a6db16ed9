#include <iostream>

#include "app/command.hpp"
#include "app/environment.hpp"
#include "app/output.hpp"
#include "base/printable.hpp"
#include "config/config.hpp"
#include "notify/channels.hpp"
#include "reports/notifications.hpp"
#include "store/notifications.hpp"

namespace csrq::app {
namespace {

/// "" if the other side accepted it.
std::string send_now(notify::Channels& channels, const store::Delivery& delivery) {
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
  notify::Channels channels(config.notify);
  const std::string customer = arguments.text("customer");
  const store::NotificationRules rules = channels.rules({});
  if (customer.empty() && rules.default_channels.empty())
    throw UsageError(config.file +
                     ": `notify` has neither webhook.url nor smtp.to: nobody is told by default");
  const auto database = open_database(config);
  std::vector<reports::Json> outcomes;
  bool all_accepted = true;
  for (const store::Delivery& delivery : store::make_test(*database, customer, rules)) {
    const std::string error = send_now(channels, delivery);
    store::delivery_done(*database, delivery, error, true);
    all_accepted = all_accepted && error.empty();
    if (!arguments.json()) print_outcome(delivery, error);
    outcomes.push_back(reports::JsonObject{
        {"message", delivery.notification},
        {"channel", delivery.channel},
        {"accepted", error.empty()},
        {"error", error}}.json());
  }
  if (arguments.json()) print(reports::array_of(outcomes));
  return all_accepted ? Exit::done : Exit::some_failed;
}

Exit list(const Arguments& arguments, const Config& config) {
  const auto database = open_database(config);
  const std::vector<store::OpenAlarm> alarms = store::open_alarms(*database);
  const std::vector<store::Undelivered> messages = store::undelivered(*database, arguments.text("customer"));
  if (arguments.json()) {
    print(reports::JsonObject{{"alarms", reports::json(reports::alarm_columns, alarms)},
                              {"undelivered", reports::json(reports::undelivered_columns, messages)}}
              .json());
  } else {
    print_rows(arguments, reports::alarm_columns, alarms, "no open alarms");
    print_rows(arguments, reports::undelivered_columns, messages, "no undelivered messages");
  }
  return Exit::done;
}

Exit run(const Arguments& arguments) {
  arguments.expect_no_positional();
  const Config config = arguments.config();
  if (arguments.has("signing-key")) {
    const notify::Channels channels(config.notify);
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
