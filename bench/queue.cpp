#include <chrono>
#include <iostream>
#include <random>
#include <stdexcept>
#include <thread>
#include <tuple>

#include <pqxx/pqxx>

#include "bench/options.hpp"
#include "bench/private_database.hpp"
#include "bench/report.hpp"
#include "store/jobs.hpp"
#include "store/requests.hpp"
#include "support/test_csr.hpp"

/// The queue in PostgreSQL: how fast rows come in, and how long a worker waits for them.
namespace {

using namespace csrq;
using namespace csrq::bench;
using namespace std::chrono_literals;

constexpr const char* usage =
    R"(Usage: bench/queue [--rows N] [--customers C,…] [--json]
  --rows N          rows that wait while claims are measured (default 1000000)
  --customers C,…   claims are also measured with the rows shared among so many (default 10,1000,100000)
  --json            one JSON object a line
)";

constexpr int bulk_rows = 20'000;
constexpr int bulk_rounds = 5;
constexpr int single_clients = 8;
constexpr int single_rows_of_client = 500;
constexpr std::int64_t load_chunk = 200'000;
constexpr std::int64_t rows_of_customer = 1000;
constexpr int claim_rounds = 200;
constexpr int claim_size = 64;
constexpr int held_leases = 1000;
constexpr int small_rounds = 50;
constexpr int renewal_rounds = 20;
constexpr int due_renewals = 500;
constexpr Duration lease = std::chrono::minutes(10);

void execute(const std::string& url, const std::string& statement) {
  pqxx::connection connection(url);
  pqxx::nontransaction(connection).exec(statement);
}

class QueueBenchmark {
 public:
  QueueBenchmark(std::int64_t rows, std::vector<std::int64_t> customers, bool json)
      : rows_(rows),
        customers_(std::move(customers)),
        json_(json),
        csr_(test::csr_pem(
            std::vector<std::string>{"shop.customer-domain.example", "www.shop.customer-domain.example"})) {}

  void run() {
    measure_insert_select();
    measure_copy_through_temporary_table();
    measure_copy();
    measure_single_inserts();
    load();
    measure_claim();
    measure_heartbeats();
    measure_rescue();
    measure_status();
    measure_retry();
    measure_renewals();
    for (const std::int64_t customers : customers_) measure_claim_for(customers);
    if (!json_) print_table(measurements_);
  }

 private:
  void report(Measurement measurement) {
    if (json_) print_json(measurement);
    measurements_.push_back(std::move(measurement));
  }

  void report_rate(const std::string& what, const std::vector<double>& rates,
                   std::optional<double> at_least) {
    report({.labels = {{"what", what}}, .figures = {{"rows_per_s", median(rates), at_least, {}}}});
  }

  void report_times(const std::string& what, const std::vector<double>& times,
                    std::optional<double> at_most) {
    report({.labels = {{"what", what}},
            .figures = {{"median_ms", median(times), {}, at_most},
                        {"p99_ms", percentile(times, 0.99), {}, {}}}});
  }

  void measure_bulk(const std::string& what, const std::string& url,
                    const std::function<void(pqxx::work&)>& insert_all) {
    pqxx::connection connection(url);
    std::vector<double> rates;
    rates.reserve(bulk_rounds);
    for (int round = 0; round < bulk_rounds; ++round)
      rates.push_back(bulk_rows * 1000.0 / milliseconds_of([&] {
                        pqxx::work transaction(connection);
                        insert_all(transaction);
                        transaction.commit();
                      }));
    report_rate(what, rates, 10'000.0);
  }

  void measure_insert_select() {
    measure_bulk("INSERT … SELECT as csrq_app", app_url_, [&](pqxx::work& transaction) {
      transaction.exec("INSERT INTO csrq.request (customer, csr, reference) SELECT 'customer-' || n % 100, " +
                       transaction.quote(csr_) + ", gen_random_uuid()::text FROM generate_series(1, " +
                       std::to_string(bulk_rows) + ") n");
    });
  }

  void copy_into(pqxx::work& transaction, const std::string& table) const {
#if PQXX_VERSION_MAJOR < 7
    pqxx::stream_to stream(transaction, table, std::vector<std::string>{"customer", "csr"});
    for (int n = 0; n < bulk_rows; ++n)
      stream << std::make_tuple("customer-" + std::to_string(n % 100), csr_);
#else
    auto stream = pqxx::stream_to::raw_table(transaction, table, "customer, csr");
    for (int n = 0; n < bulk_rows; ++n) stream.write_values("customer-" + std::to_string(n % 100), csr_);
#endif
    stream.complete();
  }

  /// PostgreSQL refuses COPY into a table with row-level security: what docs/sql.md tells apps to do.
  void measure_copy_through_temporary_table() {
    measure_bulk(
        "COPY, temporary table, INSERT … SELECT as csrq_app", app_url_, [&](pqxx::work& transaction) {
          transaction.exec("CREATE TEMPORARY TABLE incoming (customer text, csr text) ON COMMIT DROP");
          copy_into(transaction, "incoming");
          transaction.exec("INSERT INTO csrq.request (customer, csr) SELECT customer, csr FROM incoming");
        });
  }

  void measure_copy() {
    measure_bulk("COPY csrq.request as csrq_app with BYPASSRLS",
                 cluster_.url_as_member(database_name, "csrq_app", "BYPASSRLS"),
                 [&](pqxx::work& transaction) { copy_into(transaction, "csrq.request"); });
  }

  void measure_single_inserts() {
    std::vector<std::thread> clients;
    const double elapsed = milliseconds_of([&] {
      for (int i = 0; i < single_clients; ++i) clients.emplace_back([this] { insert_single_rows(); });
      for (std::thread& client : clients) client.join();
    });
    report_rate("one row a transaction, " + std::to_string(single_clients) + " clients",
                {single_clients * single_rows_of_client * 1000.0 / elapsed}, {});
  }

  void insert_single_rows() const {
    pqxx::connection connection(app_url_);
    const std::string statement = "INSERT INTO csrq.request (customer, csr) VALUES ('customer-1', " +
                                  connection.quote(csr_) + ") RETURNING id";
    for (int i = 0; i < single_rows_of_client; ++i) pqxx::nontransaction(connection).exec(statement);
  }

  /// Straight into both tables, without triggers: the same rows, sooner. Due at random times of the last day.
  void load() {
    std::cerr << "loading " << rows_ << " rows\n";
    pqxx::connection connection(url_);
    pqxx::nontransaction statements(connection);
    statements.exec("SET session_replication_role = replica");
    statements.exec("INSERT INTO csrq.customer (name) SELECT 'loaded-' || n FROM generate_series(0, " +
                    std::to_string(rows_ / rows_of_customer) + ") n");
    for (std::int64_t first = 0; first < rows_; first += load_chunk)
      load_chunk_from(statements, first, std::min(rows_, first + load_chunk));
    make_wakeups(statements);
    statements.exec("VACUUM ANALYZE csrq.request, csrq.job, csrq.wakeup");
    statements.exec("CHECKPOINT");
  }

  void load_chunk_from(pqxx::nontransaction& statements, std::int64_t first, std::int64_t end) const {
    statements.exec("WITH made AS (INSERT INTO csrq.request (customer, csr) SELECT 'loaded-' || n / " +
                    std::to_string(rows_of_customer) + ", " + statements.quote(csr_) +
                    " FROM generate_series(" + std::to_string(first) + ", " + std::to_string(end - 1) +
                    ") n RETURNING id, customer)"
                    " INSERT INTO csrq.job (request_id, customer, kind, lane, run_at)"
                    " SELECT id, customer, 'issue', (ARRAY[0, 1, 1, 1, 1, 1, 1, 1, 3, 3])[1 + id % 10],"
                    " now() - random() * interval '1 day' FROM made");
  }

  /// Claims, each after the rows of the one before are done and gone from the queue.
  void measure_claims(const std::string& what) {
    pqxx::connection connection(url_);
    pqxx::nontransaction statements(connection);
    std::int64_t claimed = 0;
    std::vector<double> times;
    times.reserve(claim_rounds);
    for (int round = 0; round < claim_rounds; ++round) {
      times.push_back(milliseconds_of([&] {
        claimed += static_cast<std::int64_t>(store::claim(database_, worker_, claim_size, lease).size());
      }));
      statements.exec("DELETE FROM csrq.job WHERE status = 'leased'");
    }
    if (claimed < std::min<std::int64_t>(rows_, claim_rounds * claim_size))
      throw std::runtime_error("only " + std::to_string(claimed) + " rows were claimed");
    report_times(what, times, 20.0);
  }

  void measure_claim() {
    measure_claims("claim of " + std::to_string(claim_size) + " of " + std::to_string(rows_));
    store::worker_stop(database_, worker_);
  }

  void measure_heartbeats() {
    worker_ = store::worker_start(database_, "bench", 2, "bench");
    std::vector<store::Fence> held;
    for (const store::Claim& claim : store::claim(database_, worker_, held_leases, lease))
      held.push_back(claim.fence);
    std::vector<double> times;
    times.reserve(small_rounds);
    for (int round = 0; round < small_rounds; ++round)
      times.push_back(milliseconds_of([&] { store::heartbeat(database_, worker_, held, lease); }));
    report_times("heartbeat of " + std::to_string(held.size()) + " leases, none to prolong", times, {});

    std::vector<double> prolonging;
    for (Duration longer = 3 * lease; longer < 3 * 729 * lease; longer *= 3)
      prolonging.push_back(milliseconds_of([&] { store::heartbeat(database_, worker_, held, longer); }));
    report_times("heartbeat that prolongs all of them", prolonging, {});
  }

  void measure_rescue() {
    std::vector<double> times;
    times.reserve(small_rounds);
    for (int round = 0; round < small_rounds; ++round)
      times.push_back(milliseconds_of([&] { store::rescue(database_); }));
    report_times("rescue, nothing to do", times, {});
  }

  void measure_status() {
    store::Database database({.url = app_url_});
    std::minstd_rand generator{1};
    std::uniform_int_distribution<std::int64_t> id(1, rows_);
    std::vector<double> times;
    times.reserve(small_rounds);
    for (int round = 0; round < small_rounds; ++round)
      times.push_back(
          milliseconds_of([&] { store::status(database, {.id = store::RequestId{id(generator)}}); }));
    report_times("status of one row as csrq_app", times, {});
  }

  /// Customers whose rows all wait for a later attempt.
  void measure_retry() {
    const std::int64_t customers = std::min<std::int64_t>(10, rows_ / rows_of_customer);
    store::Database administrator({.url = cluster_.url_as_member(database_name, "csrq_admin")});
    std::vector<double> times;
    for (std::int64_t n = 0; n < customers; ++n) {
      const std::string customer = "loaded-" + std::to_string(n);
      execute(url_,
              "UPDATE csrq.job SET run_at = now() + interval '1 hour', failures = 1 WHERE status = 'ready'"
              " AND customer = '" +
                  customer + "'");
      times.push_back(milliseconds_of([&] {
        store::retry(administrator,
                     {.id = {}, .domain = {}, .customer = customer, .everything = false, .spread = {}});
      }));
    }
    report_times("retry of a customer with " + std::to_string(rows_of_customer) + " rows", times, {});
  }

  /// The same rows, shared among so many customers instead.
  void measure_claim_for(std::int64_t customers) {
    std::cerr << "sharing the rows among " << customers << " customers\n";
    store::worker_stop(database_, worker_);
    worker_ = store::worker_start(database_, "bench", 3, "bench");
    const std::string number = std::to_string(customers);
    pqxx::connection connection(url_);
    pqxx::nontransaction statements(connection);
    statements.exec("SET session_replication_role = replica");
    statements.exec("TRUNCATE csrq.job, csrq.turn, csrq.wakeup CASCADE");
    statements.exec("INSERT INTO csrq.customer (name) SELECT 'shared-' || n FROM generate_series(0, " +
                    number + " - 1) n ON CONFLICT DO NOTHING");
    statements.exec(
        "INSERT INTO csrq.job (request_id, customer, kind, lane, run_at)"
        " SELECT id, 'shared-' || id % " +
        number +
        ", 'issue', 1, now() - random() * interval '1 day' FROM csrq.request WHERE customer LIKE 'loaded-%'");
    make_wakeups(statements);
    statements.exec("VACUUM ANALYZE csrq.job, csrq.wakeup, csrq.turn, csrq.customer");
    statements.exec("CHECKPOINT");
    measure_claims("claim of " + std::to_string(claim_size) + " of " + std::to_string(rows_) + ", " + number +
                   " customers");
  }

  /// What the trigger that was left out would have done.
  static void make_wakeups(pqxx::nontransaction& statements) {
    statements.exec(
        "INSERT INTO csrq.wakeup (lane, customer, run_at)"
        " SELECT lane, customer, min(run_at) FROM csrq.job WHERE status = 'ready' GROUP BY lane, customer");
  }

  /// A renewal for each loaded row within 60 days, and those of issued rows that each round makes due.
  void plan_renewals() const {
    pqxx::connection connection(url_);
    pqxx::nontransaction statements(connection);
    statements.exec("SET session_replication_role = replica");
    statements.exec(
        "INSERT INTO csrq.renewal (request_id, renew_at)"
        " SELECT id, now() + interval '1 day' + random() * interval '60 days' FROM csrq.request");
    statements.exec(
        "WITH made AS (INSERT INTO csrq.request"
        " (customer, csr, status, chain, serial, not_before, not_after) SELECT 'loaded-0', " +
        statements.quote(csr_) +
        ", 'issued', '-----BEGIN CERTIFICATE-----', '01', now(), now() + interval '90 days'"
        " FROM generate_series(1, " +
        std::to_string(renewal_rounds * due_renewals) +
        ") RETURNING id)"
        " INSERT INTO csrq.renewal (request_id, renew_at) SELECT id, now() + interval '90 days' FROM made");
    statements.exec("VACUUM ANALYZE csrq.renewal, csrq.request");
  }

  void measure_renewals() {
    plan_renewals();
    const std::string planned = std::to_string(rows_) + " planned";
    std::vector<double> times;
    times.reserve(std::max(small_rounds, renewal_rounds));
    for (int round = 0; round < small_rounds; ++round)
      times.push_back(milliseconds_of([&] { store::renew_due(database_, due_renewals); }));
    report_times("renewals, none due of " + planned, times, 100.0);
    times.clear();
    for (int round = 0; round < renewal_rounds; ++round) {
      execute(
          url_,
          "UPDATE csrq.renewal SET renew_at = now() WHERE request_id IN (SELECT request_id FROM csrq.renewal"
          " WHERE renew_at > now() + interval '80 days' LIMIT " +
              std::to_string(due_renewals) + ")");
      times.push_back(milliseconds_of([&] { store::renew_due(database_, due_renewals, 1'000'000); }));
    }
    report_times("renewals, " + std::to_string(due_renewals) + " due of " + planned, times, 100.0);
  }

  static constexpr const char* database_name = "queue";

  const std::int64_t rows_;
  const std::vector<std::int64_t> customers_;
  const bool json_;
  const std::string csr_;
  std::vector<Measurement> measurements_{};
  TemporaryFolder folder_{};
  PrivateCluster cluster_{folder_.path() / "cluster"};
  const std::string url_{cluster_.new_database(database_name)};
  const std::string app_url_{cluster_.url_as_member(database_name, "csrq_app")};
  store::Database database_{{.url = cluster_.url_as_member(database_name, "csrq_worker")}};
  store::WorkerId worker_{store::worker_start(database_, "bench", 1, "bench")};
};

int run(const Options& options) {
  QueueBenchmark(options.number("rows"), options.numbers("customers"), options.has("json")).run();
  return 0;
}

}  // namespace

int main(int count, char** words) {
  return guarded(run, count, words, {{"rows", "1000000"}, {"customers", "10,1000,100000"}, {"json", ""}},
                 usage);
}
