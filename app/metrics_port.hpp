#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.hpp"
#include "workers/metrics.hpp"

namespace csrq::app {

/// Where `csrq work` is scraped. It outlives workers, so that monitoring is answered also while none can be
/// started.
class MetricsPort {
 public:
  using Collect = std::function<std::vector<workers::Metric>()>;

  /// Tells there what `collect` says, until stop_collecting(). Empty: nobody is answered any more. Throws
  /// UsageError if nobody can listen there; then it listens where it did before, and does not collect.
  void serve(const std::string& address, Collect collect);
  /// When this returns nothing is collected any more: the worker is gone.
  void stop_collecting();
  /// As it is reached; "none".
  std::string address() const;

 private:
  void listen(const std::string& address);
  void stop_listening();
  void change_to(Collect collect);
  std::vector<workers::Metric> metrics();

  Mutex collecting_{};
  Collect collect_ CSRQ_GUARDED_BY(collecting_){};
  std::string listens_at_{};
  std::optional<workers::MetricsServer> server_{};
};

}  // namespace csrq::app
