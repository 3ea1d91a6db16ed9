#include <algorithm>
#include <chrono>
#include <iostream>
#include <stdexcept>
#include <utility>

#include <pqxx/pqxx>

#include "bench/limited_ca.hpp"
#include "bench/options.hpp"
#include "bench/portfolio.hpp"
#include "bench/private_database.hpp"
#include "bench/report.hpp"
#include "bench/simulated_worker.hpp"
#include "bench/virtual_clock.hpp"
#include "config/renewal.hpp"
#include "store/sql.hpp"

/// One day's renewals of a large portfolio, in virtual time and without a network: what finding them costs,
/// and what they leave behind in the tables.
namespace {

using namespace csrq;
using namespace csrq::bench;
using namespace std::chrono_literals;

constexpr const char* usage =
    R"(Usage: bench/renewal_day [--names N] [--renewals N] [--json]
  --names N     issued rows (default 10000000)
  --renewals N  of them due on the day that is played (default 330000)
  --json        one JSON object
)";

constexpr auto a_day = std::chrono::hours(24);
constexpr Duration step = 5min;
constexpr std::int64_t names_of_customer = 1000;
constexpr std::int64_t load_chunk = 200'000;
constexpr int idle_looks = 100;
constexpr std::size_t chain_size = 3600;  ///< two certificates in PEM

/// Of the rows, each n-th is due on the day, at even times; the others within the 59 days after it.
constexpr auto load_sql = R"sql(
    WITH made AS (
        INSERT INTO csrq.request (id, customer, csr, names, status, chain, serial, not_before, not_after,
                                  renew_at)
        SELECT n, 'customer-' || (n - 1) / $3, 'simulated',
               ARRAY['n' || n - 1 || '.d' || n - 1 || '.example'], 'issued',
               CASE WHEN d.is_due THEN $6 ELSE '-----BEGIN CERTIFICATE-----' END, to_hex(n),
               d.renew_at - interval '60 days', d.renew_at + interval '30 days', d.renew_at
          FROM generate_series($1::bigint, $2::bigint) n
         CROSS JOIN LATERAL (
             SELECT n % $4 = 0 AS is_due, (hashint8extended(n, 0) & 65535) / 65536.0 AS share) s
         CROSS JOIN LATERAL (
             SELECT s.is_due,
                    $5::timestamptz + interval '1 day' * CASE WHEN s.is_due THEN s.share
                                                              ELSE 1 + 59 * s.share END AS renew_at) d
        RETURNING id, renew_at, not_after)
    INSERT INTO csrq.renewal (request_id, renew_at, not_after) SELECT id, renew_at, not_after FROM made
)sql";

std::string some_chain() {
  std::string chain = "-----BEGIN CERTIFICATE-----\n";
  std::uint32_t state = 1;
  while (chain.size() < chain_size) {
    state = state * 1664525 + 1013904223;
    chain += "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[state >> 26];
  }
  return chain;
}

Portfolio portfolio_of(std::int64_t names, Time start) {
  Portfolio portfolio;
  portfolio.names.reserve(static_cast<std::size_t>(names));
  for (std::int64_t name = 0; name < names; ++name)
    portfolio.names.push_back({.customer = static_cast<int>(name / names_of_customer),
                               .domain = static_cast<int>(name),
                               .inserted = start,
                               .can_be_proven = start});
  portfolio.customers = static_cast<int>((names - 1) / names_of_customer) + 1;
  return portfolio;
}

class Day {
 public:
  Day(std::int64_t names, std::int64_t renewals)
      : names_(names), every_(std::max<std::int64_t>(1, names / renewals)) {
    install_virtual_clock(connection_);
    pqxx::nontransaction statements(connection_);
    statements.exec("SET synchronous_commit = off");
    set_virtual_clock(statements, start_);
    statements.exec("SELECT csrq.make_event_partitions(2)");
  }

  void run() {
    load();
    SimulatedWorker worker(connection_, portfolio_, ca_, chain_);
    for (int look = 0; look < idle_looks; ++look) idle_.push_back(milliseconds_of([&] { renew_due(); }));
    for (Time now = start_ + step; now <= start_ + a_day; now += step) {
      set_clock(now);
      while (move_due()) {
      }
      play(worker, now);
    }
    set_clock(start_ + a_day);
    measure(queue_mb_after_, request_mb_after_);
  }

  Measurement measurement() const {
    return {
        .labels = {{"names", std::to_string(names_)}, {"renewed", std::to_string(renewed_)}},
        .figures = {
            {"none_due_ms", median(idle_), {}, 100.0},
            {"run_ms", median(runs_), {}, 100.0},
            {"run_p99_ms", percentile(runs_, 0.99), {}, 100.0},
            {"database_ms", database_ms_ / static_cast<double>(std::max<std::int64_t>(1, renewed_)), {}, {}},
            {"queue_mb_before", queue_mb_before_, {}, {}},
            {"queue_mb_after", queue_mb_after_, {}, {}},
            {"request_mb_before", request_mb_before_, {}, {}},
            {"request_mb_after", request_mb_after_, {}, {}}}};
  }

 private:
  /// Straight into the tables, without triggers.
  void load() {
    std::cerr << "loading " << names_ << " rows\n";
    {
      pqxx::nontransaction statements(connection_);
      statements.exec("SET session_replication_role = replica");
      store::execute(
          statements,
          "INSERT INTO csrq.customer (name) SELECT 'customer-' || n FROM generate_series(0, $1::bigint) n",
          {static_cast<std::int64_t>(portfolio_.customers - 1)});
      for (std::int64_t first = 1; first <= names_; first += load_chunk)
        store::execute(
            statements, load_sql,
            {first, std::min(names_, first + load_chunk - 1), names_of_customer, every_, start_, chain_});
      statements.exec("SET session_replication_role = origin");
      statements.exec("VACUUM ANALYZE csrq.request, csrq.renewal, csrq.customer");
      statements.exec("CHECKPOINT");
    }
    measure(queue_mb_before_, request_mb_before_);
    std::cerr << "playing a day\n";
  }

  void set_clock(Time now) {
    pqxx::nontransaction statements(connection_);
    set_virtual_clock(statements, now);
  }

  std::int64_t renew_due() {
    pqxx::nontransaction statements(connection_);
    return store::execute(statements, "SELECT csrq.renew_due($1::int, 0)",
                          {static_cast<std::int64_t>(RenewalConfig{}.per_run)})[0][0]
        .as<std::int64_t>();
  }

  /// One run of the renewer; whether it found any.
  bool move_due() {
    std::int64_t moved = 0;
    const double took = milliseconds_of([&] { moved = renew_due(); });
    if (moved > 0) runs_.push_back(took);
    database_ms_ += took;
    return moved > 0;
  }

  void play(SimulatedWorker& worker, Time now) {
    Played played;
    do {
      database_ms_ += milliseconds_of([&] { played = worker.play(now, false); });
      renewed_ += static_cast<std::int64_t>(played.renewed.size());
    } while (played.claimed > 0);
  }

  void measure(double& queue, double& request) {
    pqxx::nontransaction statements(connection_);
    queue = table_megabytes(statements, queue_tables);
    request = table_megabytes(statements, "{request}");
  }

  const std::int64_t names_;
  const std::int64_t every_;
  const Time start_{std::chrono::sys_days{std::chrono::January / 1 / 2027}};
  const std::string chain_{some_chain()};
  const Portfolio portfolio_{portfolio_of(names_, start_)};
  TemporaryFolder folder_{};
  PrivateCluster cluster_{folder_.path() / "cluster"};
  const std::string url_{cluster_.new_database("renewal_day")};
  pqxx::connection connection_{url_};
  LimitedCa ca_{false};

  std::vector<double> idle_{};  ///< milliseconds of runs that find none
  std::vector<double> runs_{};  ///< and of those that find some
  double database_ms_{0};
  std::int64_t renewed_{0};
  double queue_mb_before_{0};
  double queue_mb_after_{0};
  double request_mb_before_{0};
  double request_mb_after_{0};
};

int run(const Options& options) {
  Day day(options.number("names"), options.number("renewals"));
  day.run();
  print(day.measurement(), options.has("json"));
  return 0;
}

}  // namespace

int main(int count, char** words) {
  return guarded(run, count, words, {{"names", "10000000"}, {"renewals", "330000"}, {"json", ""}}, usage);
}
