#include <fstream>
#include <iostream>
#include <thread>

#include <pqxx/pqxx>

#include "base/encoding.hpp"
#include "base/error.hpp"
#include "bench/bench_ca.hpp"
#include "bench/measured_process.hpp"
#include "bench/options.hpp"
#include "bench/private_database.hpp"
#include "bench/report.hpp"
#include "embedded/ports.hpp"
#include "embedded/process.hpp"
#include "support/folders.hpp"
#include "support/test_csr.hpp"

/// The whole way of N rows, from CSR to chain, and what `csrq run` spends on it.
namespace {

using namespace csrq;
using namespace csrq::bench;

constexpr const char* usage =
    R"(Usage: bench/issue [--rows N] [--in-flight LIST] [--ca LIST] [--connections N] [--csrq FILE] [--json]
  --rows N          one-name certificates in a batch (default 1000; one order at a time: at most 200)
  --in-flight LIST  orders under way at once (default 1,8,256,1000)
  --ca LIST         of pebble-always-valid, pebble (real http-01), stub (default: all of them)
  --connections N   TCP connections to the CA, as in the configuration (default 4)
  --csrq FILE       the program to measure (default: the one built beside this)
  --keep            leaves configuration and log in the folder
  --json            one JSON object a line
)";

constexpr std::int64_t most_rows_one_by_one = 200;
constexpr std::int64_t rows_of_pebble = 5000;  // it scans all authorizations it has for each order
constexpr std::int64_t customers = 10;         // each has an account

struct Settings {
  std::string ca{};
  std::int64_t rows{};
  std::int64_t in_flight{};
  std::int64_t connections{};
  std::string csrq{};
};

struct Counters {
  double requests{};
  double connections{};
  double commits{};
};

/// A fresh database, a fresh CA and a csrq.yaml for them.
class Bench {
 public:
  Bench(PrivateCluster& cluster, const std::filesystem::path& folder, const std::string& name,
        Settings settings)
      : settings_(std::move(settings)),
        name_(name),
        folder_(folder / name),
        http_port_(embedded::free_port()),
        ca_(start_ca(settings_.ca, folder_ / "ca", http_port_)),
        monitor_(cluster.url()),
        url_(cluster.new_database(name)) {
    write_config(cluster.url_as_member(name, "csrq_worker"));
  }

  Measurement measure(const std::string& authorizations) {
    insert_rows();
    const Counters before = counters();
    const Cost cost = run_measured(
        {settings_.csrq, "run", "--limit", std::to_string(settings_.rows), "--config", folder_ / "csrq.yaml"},
        log_file());
    const Counters after = counters();
    check_issued(cost);
    return {.labels = {{"ca", settings_.ca},
                       {"authorizations", authorizations},
                       {"in_flight", std::to_string(settings_.in_flight)},
                       {"rows", std::to_string(settings_.rows)}},
            .figures = figures(cost, before, after, authorizations == "valid")};
  }

 private:
  std::string log_file() const { return folder_ / "csrq.log"; }

  void write_config(const std::string& database_url) const {
    std::filesystem::create_directories(folder_);
    const std::string key_file = folder_ / "sealing.key";
    std::ofstream(key_file) << base64(std::string(32, '\x5a')) << '\n';
    std::filesystem::permissions(key_file, std::filesystem::perms::owner_read);
    std::ofstream file(folder_ / "csrq.yaml");
    file << "database: { url: \"" << database_url << "\" }\n"
         << "cas:\n  bench:\n    directory: " << ca_->directory_url() << "\n    ca_file: " << ca_->ca_file()
         << "\n    terms_of_service_agreed: true\n    connections: " << settings_.connections
         << "\n    orders_in_flight: " << settings_.in_flight
         << "\naccounts: { sealing_key_file: " << key_file
         << " }\nworker: { in_flight: " << settings_.in_flight << " }\n";
    if (settings_.ca == "pebble")
      file << "challenges: { http-01: { listen: \"127.0.0.1:" << http_port_ << "\" } }\n";
    if (!file.flush()) throw UsageError("cannot write " + (folder_ / "csrq.yaml").string());
  }

  /// The same names each time, and each time a certificate.
  void insert_rows() {
    pqxx::connection connection(url_);
    pqxx::work transaction(connection);
    for (std::int64_t n = 0; n < settings_.rows; ++n)
      transaction.exec(
          "INSERT INTO csrq.request (customer, csr, auto_renew, reuse_chain) VALUES ('customer-" +
          std::to_string(n % customers) + "', " +
          transaction.quote(
              test::csr_pem(std::vector<std::string>{"host-" + std::to_string(n) + ".example"})) +
          ", false, false)");
    transaction.commit();
    pqxx::nontransaction(connection).exec("ANALYZE");
  }

  double ask_monitor(const std::string& query) {
    return pqxx::nontransaction(monitor_).exec(query)[0][0].as<double>();
  }

  /// A server process has written its counters down when it has ended.
  Counters counters() {
    const std::string of_database = " FROM pg_stat_database WHERE datname = '" + name_ + "'";
    while (ask_monitor("SELECT count(*) FROM pg_stat_activity WHERE datname = '" + name_ + "'") > 0)
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    return {.requests = static_cast<double>(ca_->requests()),
            .connections = static_cast<double>(ca_->connections()),
            .commits = ask_monitor("SELECT xact_commit" + of_database)};
  }

  void check_issued(const Cost& cost) {
    pqxx::connection connection(url_);
    const auto left = pqxx::nontransaction(connection)
                          .exec("SELECT count(*) FROM csrq.request WHERE status <> 'issued'")[0][0]
                          .as<std::int64_t>();
    if (left == 0 && cost.exit_code == 0) return;
    throw std::runtime_error(std::to_string(left) + " rows were not issued (exit code " +
                             std::to_string(cost.exit_code) + "); the log ends with\n" +
                             embedded::last_lines(log_file()));
  }

  std::vector<Figure> figures(const Cost& cost, const Counters& before, const Counters& after,
                              bool authorized) const {
    const auto rows = static_cast<double>(settings_.rows);
    const bool validates = settings_.ca == "pebble" && !authorized;
    std::optional<double> most_connections;
    if (settings_.rows >= 1000) most_connections = 0.02;
    std::optional<double> most_requests = 8.0;
    if (authorized) most_requests = 4.2;
    if (validates) most_requests.reset();
    return {{"rows_per_s", rows / cost.wall_seconds, {}, {}},
            {"cpu_ms", cost.cpu_seconds * 1000 / rows, {}, 2.5},
            {"requests", (after.requests - before.requests) / rows, {}, most_requests},
            {"connections", (after.connections - before.connections) / rows, {}, most_connections},
            {"commits", (after.commits - before.commits) / rows, {}, {}},
            {"peak_mb", cost.peak_megabytes, {}, 64.0}};
  }

  const Settings settings_;
  const std::string name_;
  const std::filesystem::path folder_;
  const int http_port_;
  const std::unique_ptr<BenchCa> ca_;
  pqxx::connection monitor_;
  const std::string url_;
};

int run(const Options& options) {
  TemporaryFolder folder(options.has("keep"));
  PrivateCluster cluster(folder.path() / "cluster");
  std::vector<Measurement> measurements;
  for (const std::string& ca : options.texts("ca")) {
    for (const std::int64_t in_flight : options.numbers("in-flight")) {
      const std::int64_t most = in_flight == 1 ? most_rows_one_by_one : rows_of_pebble;
      const std::string name = "issue_" + std::to_string(measurements.size());
      Bench bench(cluster, folder.path(), name,
                  {.ca = ca,
                   .rows = std::min(options.number("rows"), most),
                   .in_flight = in_flight,
                   .connections = options.number("connections"),
                   .csrq = options.text("csrq")});
      for (const char* authorizations : {"fresh", "valid"}) {
        measurements.push_back(bench.measure(authorizations));
        if (options.has("json")) print_json(measurements.back());
      }
    }
  }
  if (!options.has("json")) print_table(measurements);
  return 0;
}

}  // namespace

int main(int count, char** words) {
  return guarded(run, count, words,
                 {{"rows", "1000"},
                  {"in-flight", "1,8,256,1000"},
                  {"ca", "pebble-always-valid,pebble,stub"},
                  {"connections", "4"},
                  {"csrq", test::build_folder() / "csrq"},
                  {"keep", ""},
                  {"json", ""}},
                 usage);
}
