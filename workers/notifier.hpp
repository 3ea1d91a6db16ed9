#pragma once

#include <functional>

#include "cas/ca_pool.hpp"
#include "notify/channels.hpp"
#include "store/database.hpp"
#include "workers/rounds.hpp"

namespace csrq {
struct NotifyConfig;
}  // namespace csrq

namespace csrq::workers {

struct NotifierPace {
  Duration pause{std::chrono::seconds(10)};    ///< between two rounds
  Duration soon{std::chrono::minutes(1)};      ///< from the first failure of a new cause to its message
  Duration sending{std::chrono::seconds(30)};  ///< after this a round takes no more messages up
  Duration outage{std::chrono::minutes(1)};    ///< a CA that is out of reach for longer raises an alarm
};

/// Tells people: makes messages of failures, alarms and late renewals, and sends what is in the outbox. Any
/// number of workers may have one; each message is made once, and sent by one of them at a time. Uses a
/// database connection of its own, so that nothing it does holds a row up.
class Notifier {
 public:
  /// All must outlive this. Throws UsageError for secrets that cannot be read, Unreachable.
  Notifier(const NotifyConfig& config, store::DatabaseOptions database, const cas::CaPool& cas,
           NotifierPace pace = {});

  /// Begins to do rounds on a thread of its own. The destructor ends a round under way; it waits some seconds
  /// for a request that has no answer yet.
  void start();
  /// One round, on the caller's thread, until `stopped` says so. It leaves to the next round what it could
  /// not send, so dead recipients keep nobody from being told of what is new. Throws Unreachable.
  void round(const std::function<bool()>& stopped = [] { return false; });

 private:
  void look_at_cas();
  void send_due(const std::function<bool()>& stopped);
  void deliver(const store::Delivery& delivery, const std::function<bool()>& stopped);

  store::Database database_;
  const cas::CaPool& cas_;
  NotifierPace pace_;
  notify::Channels channels_;
  Rounds rounds_{};
};

}  // namespace csrq::workers
