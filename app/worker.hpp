#pragma once

#include <optional>
#include <stop_token>

#include "app/environment.hpp"
#include "app/metrics_port.hpp"
#include "config/config.hpp"
#include "workers/issuer.hpp"
#include "workers/janitor.hpp"
#include "workers/notifier.hpp"
#include "workers/queue_watch.hpp"
#include "workers/renewer.hpp"
#include "workers/responder.hpp"

namespace csrq::app {

/// `csrq work` under one configuration: the issuer, and the responder and the metrics where the configuration
/// wants them here.
class Worker {
 public:
  /// Everything is in place when this returns: connected, listening. Throws UsageError or Unreachable, the
  /// latter soon once `stop` is asked for.
  Worker(const Config& config, MetricsPort& metrics_port, std::stop_source stop);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// Takes rows until stop(); then steps under way are finished and leases given back.
  void work();
  /// From any thread, also before work().
  void stop() {
    stop_.request_stop();
    issuer_.stop();
  }

 private:
  std::vector<workers::Metric> metrics();

  const Config config_;
  std::stop_source stop_;
  IssuingEnvironment environment_;
  std::optional<workers::Responder> responder_{};
  workers::Issuer issuer_;
  workers::Janitor janitor_;
  workers::Notifier notifier_;
  store::Database planning_;  ///< the renewer's: what it asks takes long, and leases must not wait for it
  workers::Renewer renewer_;
  std::optional<workers::QueueWatch> queue_watch_{};
  MetricsPort& metrics_port_;
};

}  // namespace csrq::app
