#include "workers/notifier.hpp"

#include <future>
#include <vector>

#include "base/error.hpp"
#include "base/log.hpp"

namespace csrq::workers {
namespace {

using namespace std::chrono_literals;

/// Longer than any request takes.
constexpr Duration claim = 2min;
constexpr int at_once = 8;
/// Others may see it a minute after the last mark, and marks are a round apart.
constexpr Duration unseen_for = 90s;

}  // namespace

Notifier::Notifier(const NotifyConfig& config, store::DatabaseOptions database, const cas::CaPool& cas,
                   NotifierPace pace)
    : database_(std::move(database)), cas_(cas), pace_(pace), channels_(config) {}

void Notifier::start() {
  rounds_.start(pace_.pause, "nobody could be told of failures; tried again",
                [this](const std::function<bool()>& stopped) { round(stopped); });
}

void Notifier::round(const std::function<bool()>& stopped) {
  do_each({{.name = "alarms of CAs", .run = [&] { look_at_cas(); }},
           {.name = "messages about failures",
            .run = [&] { store::make_notifications(database_, channels_.rules(pace_.soon)); }},
           {.name = "sending messages", .run = [&] { send_due(stopped); }}});
}

void Notifier::send_due(const std::function<bool()>& stopped) {
  const auto until = std::chrono::steady_clock::now() + pace_.sending;
  while (!stopped()) {
    const std::vector<store::Delivery> due =
        store::claim_deliveries(database_, channels_.can(), at_once, claim);
    if (due.empty()) return;
    std::vector<std::future<void>> sending;
    sending.reserve(due.size());
    for (const store::Delivery& delivery : due)
      sending.push_back(std::async(std::launch::async, [&] { deliver(delivery, stopped); }));
    for (std::future<void>& one : sending) one.wait();
    for (std::future<void>& one : sending) one.get();
    if (std::chrono::steady_clock::now() >= until) return;
  }
}

/// A state, told anew in every round, not a turn of it: so an alarm whose worker has died ends when another
/// one gets an answer, and one that others still see goes on.
void Notifier::look_at_cas() {
  const auto at = cas::Outage::Clock::now();
  for (const cas::PooledCa* ca : cas_.all()) {
    const store::AlarmKey key{store::AlarmKind::ca, ca->directory(), std::nullopt};
    if (const auto silence = ca->outage.silence(at)) {
      if (silence->lasting >= pace_.outage)
        store::raise_alarm(database_, {.key = key,
                                       .code = to_string(ErrorCode::ca_out_of_reach),
                                       .detail = "the CA " + ca->name() + " is out of reach; its rows wait" +
                                                 (silence->cause.empty() ? "" : ": " + silence->cause),
                                       .request = std::nullopt});
    } else if (ca->outage.answered_since(at - unseen_for)) {
      store::clear_alarm(database_, key, unseen_for);
    }
  }
}

void Notifier::deliver(const store::Delivery& delivery, const std::function<bool()>& stopped) {
  std::string error;
  bool final = false;
  try {
    channels_.send(delivery, stopped);
  } catch (const UsageError& refusal) {
    error = refusal.what();
    final = true;
  } catch (const std::exception& failure) {
    error = failure.what();
  }
  const bool given_up = store::delivery_done(database_, delivery, error, final);
  if (!error.empty())
    log::warning(given_up ? "a message is given up" : "a message was not accepted; it is sent again later",
                 {{"message", delivery.notification},
                  {"channel", delivery.channel},
                  {"customer", delivery.recipient},
                  {"error", error}});
}

}  // namespace csrq::workers
