#include "workers/metrics.hpp"

#include <cstdio>

namespace csrq::workers {
namespace {

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.15g", value);
  return text;
}

double value(auto number) {
  return static_cast<double>(number);
}

void append_head(std::string& text, const Metric& metric) {
  text += "# HELP " + metric.name + " " + metric.help + "\n";
  text += "# TYPE " + metric.name + (metric.name.ends_with("_total") ? " counter\n" : " gauge\n");
}

/// As the text format wants the value of a label.
std::string label_value(std::string_view text) {
  std::string value = "\"";
  for (const char character : text) {
    if (character == '\n') {
      value += "\\n";
      continue;
    }
    if (character == '"' || character == '\\') value += '\\';
    value += character;
  }
  return value + "\"";
}

Metric info() {
  return {"csrq_info", "Which csrq this is.", "version=\"" CSRQ_VERSION "\"", 1};
}

Metric database_up(bool is_up) {
  return {"csrq_database_up",
          "Whether the database has told the length of the queue in the last 15 seconds.",
          {},
          value(is_up)};
}

void append_jobs(std::vector<Metric>& metrics, const store::QueueDepth& queue) {
  const char* jobs = "Open work of all workers: due, leased or waiting for later.";
  metrics.push_back({"csrq_jobs", jobs, "state=\"due\"", value(queue.due)});
  metrics.push_back({"csrq_jobs", jobs, "state=\"leased\"", value(queue.leased)});
  metrics.push_back({"csrq_jobs", jobs, "state=\"waiting\"", value(queue.waiting)});
}

http::ServerResponse answer(const http::ServerRequest& request,
                            const std::function<std::vector<Metric>()>& collect) {
  if (request.target.substr(0, request.target.find('?')) != "/metrics")
    return {.status = 404, .body = "csrq: the metrics are at /metrics\n"};
  return {.status = 200,
          .content_type = "text/plain; version=0.0.4; charset=utf-8",
          .body = exposition(collect())};
}

}  // namespace

std::string exposition(const std::vector<Metric>& metrics) {
  std::string text;
  std::string previous;
  for (const Metric& metric : metrics) {
    if (metric.name != previous) append_head(text, metric);
    previous = metric.name;
    text += metric.name + (metric.labels.empty() ? "" : "{" + metric.labels + "}") + " " +
            number(metric.value) + "\n";
  }
  return text;
}

std::vector<Metric> worker_metrics(const Tally& tally, const http::ClientStatistics& requests,
                                   const store::DatabaseStatistics& database,
                                   const std::optional<store::QueueDepth>& queue) {
  const char* rows = "Rows that this process was done with, by outcome.";
  std::vector<Metric> metrics{
      info(),
      {"csrq_rows_total", rows, "outcome=\"issued\"", value(tally.issued)},
      {"csrq_rows_total", rows, "outcome=\"failed\"", value(tally.failed)},
      {"csrq_rows_total", rows, "outcome=\"put_off\"", value(tally.put_off)},
      {"csrq_rows_total", rows, "outcome=\"revoked\"", value(tally.revoked)},
      {"csrq_rows_total", rows, "outcome=\"dropped\"", value(tally.dropped)},
      {"csrq_rows_claimed_total", "Rows that this process has claimed.", {}, value(tally.claimed)},
      {"csrq_rows_in_flight", "Rows that this process holds.", {}, value(tally.in_flight)},
      {"csrq_ca_requests_total", "HTTP requests to CAs.", {}, value(requests.requests)},
      {"csrq_ca_requests_failed_total",
       "HTTP requests to CAs without a complete answer.",
       {},
       value(requests.failures)},
      {"csrq_ca_connections_total", "TLS connections opened to CAs.", {}, value(requests.connections)},
      {"csrq_database_calls_total", "Database calls.", {}, value(database.calls)},
      {"csrq_database_commits_total", "Commits; calls share them.", {}, value(database.commits)},
      database_up(queue.has_value()),
  };
  if (queue) append_jobs(metrics, *queue);
  return metrics;
}

std::vector<Metric> metrics_without_worker() {
  return {info(), database_up(false)};
}

std::vector<Metric> pace_metrics(const std::vector<cas::CaPace>& cas) {
  std::vector<Metric> waited;
  std::vector<Metric> sent_away;
  std::vector<Metric> refused;
  for (const cas::CaPace& ca : cas) {
    for (const acme::EndpointClass endpoint : acme::endpoint_classes) {
      const acme::PaceStatistics& pace = ca.statistics[endpoint];
      const std::string labels =
          "ca=" + label_value(ca.ca) + ",endpoint=\"" + std::string(acme::to_string(endpoint)) + "\"";
      waited.push_back({"csrq_ca_pace_wait_seconds_total", "Time that requests to CAs waited for their turn.",
                        labels, seconds(pace.waited)});
      sent_away.push_back({"csrq_ca_paced_total",
                           "Requests to CAs put off because their turn was too far away.", labels,
                           value(pace.sent_away)});
      const char* help = "Answers of CAs that ask for fewer requests, by status.";
      refused.push_back({"csrq_ca_refused_total", help, labels + ",status=\"429\"", value(pace.too_many)});
      refused.push_back({"csrq_ca_refused_total", help, labels + ",status=\"503\"", value(pace.busy)});
    }
  }
  waited.insert(waited.end(), sent_away.begin(), sent_away.end());
  waited.insert(waited.end(), refused.begin(), refused.end());
  return waited;
}

MetricsServer::MetricsServer(const std::string& listen, std::function<std::vector<Metric>()> collect)
    : server_({.listen = listen, .handler_threads = 1},
              [collect = std::move(collect)](const http::ServerRequest& request) {
                return answer(request, collect);
              }) {}

}  // namespace csrq::workers
