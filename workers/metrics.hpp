#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cas/ca_pool.hpp"
#include "http/client.hpp"
#include "http/server.hpp"
#include "store/database.hpp"
#include "store/requests.hpp"
#include "workers/issuer.hpp"

namespace csrq::workers {

/// One line of the Prometheus text format, with its help.
struct Metric {
  std::string name{};  ///< "csrq_rows_total"
  std::string help{};
  std::string labels{};  ///< "outcome=\"issued\""; empty: none
  double value{};
};

/// The Prometheus text exposition format, version 0.0.4. Metrics of one name stand together and share the
/// first one's help; a name that ends in "_total" is a counter, any other a gauge.
std::string exposition(const std::vector<Metric>& metrics);

/// What `csrq work` tells: rows by outcome and under way, requests to CAs, database calls and commits, and
/// the queue of all workers where the database has said how long it is.
std::vector<Metric> worker_metrics(const Tally& tally, const http::ClientStatistics& requests,
                                   const store::DatabaseStatistics& database,
                                   const std::optional<store::QueueDepth>& queue);

/// What `csrq work` tells while it cannot start a worker.
std::vector<Metric> metrics_without_worker();

/// For each CA and class of endpoints: time that requests waited for their turn, and answers 429 and 503.
std::vector<Metric> pace_metrics(const std::vector<cas::CaPace>& cas);

/// Serves /metrics; everything else is 404.
class MetricsServer {
 public:
  /// Listens before it returns. `collect` is called for each scrape, on the one thread that answers them: it
  /// must not wait for anything. Throws UsageError.
  MetricsServer(const std::string& listen, std::function<std::vector<Metric>()> collect);

  std::string address() const { return server_.address(); }

 private:
  http::Server server_;
};

}  // namespace csrq::workers
