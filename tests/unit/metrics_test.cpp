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
  const std::string text = exposition(worker_metrics({.issued = 7, .in_flight = 2}, {.requests = 40},
                                                     {.commits = 9}, csrq::store::QueueDepth{.due = 5}));
  for (const char* line :
       {"csrq_rows_total{outcome=\"issued\"} 7\n", "csrq_rows_in_flight 2\n", "csrq_ca_requests_total 40\n",
        "csrq_database_commits_total 9\n", "csrq_jobs{state=\"due\"} 5\n", "csrq_database_up 1\n"})
    CHECK(text.find(line) != std::string::npos);
}

TEST_CASE("a database that does not answer leaves a worker's metrics its own counters") {
  const std::string text = exposition(worker_metrics({.issued = 7}, {}, {}, std::nullopt));
  CHECK(text.find("csrq_database_up 0\n") != std::string::npos);
  CHECK(text.find("csrq_rows_total{outcome=\"issued\"} 7\n") != std::string::npos);
  CHECK(text.find("csrq_jobs") == std::string::npos);
}

TEST_CASE("metrics of the pace tell waits and refusals for each CA and class of endpoints") {
  csrq::cas::CaPace pace{.ca = "a \"b\" \\ c"};
  pace.statistics[csrq::acme::EndpointClass::new_order] = {
      .waited = std::chrono::milliseconds(1500), .sent_away = 4, .busy = 3, .too_many = 2};
  const std::string text = exposition(pace_metrics({pace, {.ca = "other"}}));
  const std::string labels = R"(ca="a \"b\" \\ c",endpoint="new_order")";
  for (const std::string& line :
       {"csrq_ca_pace_wait_seconds_total{" + labels + "} 1.5\n", "csrq_ca_paced_total{" + labels + "} 4\n",
        "csrq_ca_refused_total{" + labels + ",status=\"429\"} 2\n",
        "csrq_ca_refused_total{" + labels + ",status=\"503\"} 3\n",
        std::string("csrq_ca_paced_total{ca=\"other\",endpoint=\"directory\"} 0\n")})
    CHECK_MESSAGE(text.find(line) != std::string::npos, line);
}
