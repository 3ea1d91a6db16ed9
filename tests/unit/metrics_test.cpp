#include "workers/metrics.hpp"

#include <doctest/doctest.h>

using namespace csrq::workers;

TEST_CASE("metrics of one name share their help, counters and gauges are told apart by their names") {
  CHECK(exposition({{"csrq_rows_total", "Rows.", "outcome=\"issued\"", 3},
                    {"csrq_rows_total", "Rows.", "outcome=\"failed\"", 0},
                    {"csrq_rows_in_flight", "Held.", {}, 12345678}}) ==
        "# HELP csrq_rows_total Rows.\n"
        "# TYPE csrq_rows_total counter\n"
        "csrq_rows_total{outcome=\"issued\"} 3\n"
        "csrq_rows_total{outcome=\"failed\"} 0\n"
        "# HELP csrq_rows_in_flight Held.\n"
        "# TYPE csrq_rows_in_flight gauge\n"
        "csrq_rows_in_flight 12345678\n");
}

TEST_CASE("a worker's metrics tell its tally and the queue of all workers") {
  const std::string text =
      exposition(worker_metrics({.issued = 7, .in_flight = 2}, {.requests = 40}, {.commits = 9}, {.due = 5}));
  for (const char* line :
       {"csrq_rows_total{outcome=\"issued\"} 7\n", "csrq_rows_in_flight 2\n", "csrq_ca_requests_total 40\n",
        "csrq_database_commits_total 9\n", "csrq_jobs{state=\"due\"} 5\n"})
    CHECK(text.find(line) != std::string::npos);
}
