#include "app/worker.hpp"

#include "base/log.hpp"
#include "store/requests.hpp"

namespace csrq::app {
namespace {

void log_outcome(const workers::Outcome& outcome) {
  const std::string name = outcome.names.empty() ? std::string() : outcome.names.front();
  if (outcome.progress.failure)
    log::warning("row not issued", {{"request", store::number(outcome.request)},
                                    {"customer", outcome.customer},
                                    {"name", name},
                                    {"code", outcome.progress.failure->code},
                                    {"detail", outcome.progress.failure->detail}});
  else if (outcome.progress.kind == issuance::Progress::Kind::issued)
    log::info("issued",
              {{"request", store::number(outcome.request)}, {"customer", outcome.customer}, {"name", name}});
}

}  // namespace

Worker::Worker(const Config& config, MetricsPort& metrics_port, std::stop_source stop)
    : config_(config),
      stop_(std::move(stop)),
      environment_(config_, stop_.get_token()),
      issuer_(config_, *environment_.database, *environment_.coordination, environment_.cas,
              environment_.accounts, {.finished = log_outcome, .tick = {}}),
      janitor_(*environment_.database, environment_.cas, environment_.accounts),
      notifier_(config_.notify, database_options(config_, stop_.get_token()), environment_.cas),
      planning_(database_options(config_, stop_.get_token())),
      renewer_(config_.renewal, planning_, environment_.cas),
      metrics_port_(metrics_port) {
  put_grants_in_force(*environment_.database, config_.customers.grants);
  const Http01Config& http_01 = config_.challenges.http_01;
  if (!http_01.listen.empty()) responder_.emplace(http_01, database_options(config_, stop_.get_token()));
  if (!config_.metrics.listen.empty()) queue_watch_.emplace(database_options(config_, stop_.get_token()));
  metrics_port_.serve(config_.metrics.listen, [this] { return metrics(); });
}

Worker::~Worker() {
  metrics_port_.stop_collecting();
}

void Worker::work() {
  log::info("working", {{"version", CSRQ_VERSION},
                        {"configuration", config_.file},
                        {"answering", responder_ ? responder_->address() : "elsewhere"},
                        {"metrics", metrics_port_.address()}});
  janitor_.start();
  notifier_.start();
  renewer_.start();
  issuer_.work();
}

std::vector<workers::Metric> Worker::metrics() {
  std::vector<workers::Metric> metrics =
      workers::worker_metrics(issuer_.tally(), environment_.cas.statistics(),
                              environment_.database->statistics(), queue_watch_->latest());
  for (workers::Metric& metric : workers::pace_metrics(environment_.cas.pace()))
    metrics.push_back(std::move(metric));
  return metrics;
}

}  // namespace csrq::app
