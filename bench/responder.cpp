#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <vector>

#include <pqxx/pqxx>

#include "base/descriptors.hpp"
#include "base/error.hpp"
#include "bench/flood_process.hpp"
#include "bench/options.hpp"
#include "bench/private_database.hpp"
#include "bench/report.hpp"
#include "embedded/ports.hpp"
#include "embedded/process.hpp"
#include "support/folders.hpp"

/// What `csrq respond` answers in a second, and how soon while others flood its port.
namespace {

using namespace csrq;
using namespace csrq::bench;
using Clock = std::chrono::steady_clock;

constexpr const char* usage =
    R"(Usage: bench/responder [--seconds N] [--clients N] [--floods LIST] [--csrq FILE] [--json]
  --seconds N    that each measurement takes (default 10)
  --clients N    that ask at once where requests a second are measured (default 16)
  --floods LIST  of idle, octets, keep-alive, half-closed, tls, headers, tokens (default: all of them)
  --csrq FILE    the program to measure (default: the one built beside this)
  --keep         leaves configuration and log in the folder
  --json         one JSON object a line
)";

constexpr std::chrono::milliseconds between_probes{20};
constexpr std::chrono::seconds longest_rise{60};
constexpr double most_milliseconds = 1000;
constexpr double most_megabytes = 128;

constexpr const char* a_challenge_sql = R"sql(
    WITH account AS (
        INSERT INTO csrq.acme_account (ca, directory, policy, owner, status)
            VALUES ('ca', 'https://ca.example/dir', 'shared', '', 'creating') RETURNING id),
    authz AS (
        INSERT INTO csrq.acme_authorization (account_id, url, customer, identifier)
            SELECT id, 'https://ca.example/authz/1', 'acme', 'a.example' FROM account RETURNING id)
    INSERT INTO csrq.acme_challenge
           (authorization_id, type, url, token, status, key_authorization, presented_at)
        SELECT id, 'http-01', 'https://ca.example/chall/1', 'token1', 'pending', 'token1.thumb', now()
          FROM authz
)sql";
constexpr std::string_view head =
    "GET /.well-known/acme-challenge/token1 HTTP/1.1\r\nHost: a.example\r\n\r\n";

/// `csrq respond` for a database with one challenge.
class MeasuredResponder {
 public:
  /// `front_ends`: networks, as in a list of YAML.
  MeasuredResponder(const std::string& csrq, const std::string& database_url,
                    const std::filesystem::path& folder, const std::string& front_ends)
      : log_(folder / "respond.log"),
        process_({.command = {csrq, "respond", "--config", configuration(database_url, folder, front_ends)},
                  .log_file = log_}) {
    const auto give_up = Clock::now() + std::chrono::seconds(10);
    while (!embedded::accepts_connections(port_)) {
      if (Clock::now() > give_up)
        throw std::runtime_error("csrq respond does not start: " + embedded::last_lines(log_));
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }

  int port() const { return port_; }
  /// User and system.
  double cpu_seconds() const {
    std::ifstream file("/proc/" + std::to_string(process_.pid()) + "/stat");
    std::string text;
    std::getline(file, text);
    std::istringstream fields(text.substr(text.rfind(')') + 2));
    std::string skipped;
    for (int field = 3; field < 14; ++field) fields >> skipped;
    double user = 0;
    double system = 0;
    fields >> user >> system;
    return (user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));
  }
  double peak_megabytes() const {
    std::ifstream status("/proc/" + std::to_string(process_.pid()) + "/status");
    for (std::string line; std::getline(status, line);)
      if (line.starts_with("VmHWM:")) return std::stod(line.substr(6)) / 1024;
    return 0;
  }

 private:
  std::string configuration(const std::string& database_url, const std::filesystem::path& folder,
                            const std::string& front_ends) const {
    std::filesystem::create_directories(folder);
    const std::string name = folder / "csrq.yaml";
    std::ofstream file(name);
    file << "database: { url: \"" << database_url
         << "\" }\nchallenges: { http-01: { listen: \"127.0.0.1:" << port_ << "\", proxy_from: ["
         << front_ends << "] } }\n";
    if (!file.flush()) throw UsageError("cannot write " + name);
    return name;
  }

  const int port_{embedded::free_port()};
  const std::string log_;
  embedded::Process process_;
};

int connected_to(int port) {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    throw std::runtime_error("cannot connect to the responder");
  return socket;
}

/// Asks until `stop`, on one connection if the responder keeps it. How many answers were the challenge's.
std::uint64_t ask(int port, const std::atomic<bool>& stop) {
  std::uint64_t answers = 0;
  for (int socket = -1; !stop;) {
    if (socket < 0) socket = connected_to(port);
    [[maybe_unused]] const ssize_t sent = ::send(socket, head.data(), head.size(), MSG_NOSIGNAL);
    char answer[1024];
    const ssize_t octets = ::recv(socket, answer, sizeof answer, 0);
    const std::string_view text(answer, static_cast<std::size_t>(std::max<ssize_t>(octets, 0)));
    if (!text.ends_with("token1.thumb")) throw std::runtime_error("the responder does not answer");
    ++answers;
    if (text.find("Connection: close") == std::string_view::npos && !stop) continue;
    ::close(socket);
    socket = -1;
  }
  return answers;
}

Measurement measure_rate(const Options& options, const std::string& database_url,
                         const std::filesystem::path& folder, const std::string& who,
                         const std::string& front_ends) {
  const MeasuredResponder responder(options.text("csrq"), database_url, folder, front_ends);
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> answers{0};
  const double cpu_before = responder.cpu_seconds();
  const Clock::time_point start = Clock::now();
  {
    std::vector<std::jthread> clients;
    for (std::int64_t client = 0; client < options.number("clients"); ++client)
      clients.emplace_back([&] { answers += ask(responder.port(), stop); });
    std::this_thread::sleep_for(std::chrono::seconds(options.number("seconds")));
    stop = true;
  }
  const double wall = std::chrono::duration<double>(Clock::now() - start).count();
  const double cpu = responder.cpu_seconds() - cpu_before;
  const auto count = static_cast<double>(answers.load());
  return {.labels = {{"who asks", who}},
          .figures = {{"requests_per_s", count / wall, {}, {}},
                      {"requests_per_core_s", count / cpu, {}, {}},
                      {"cpu_us", cpu / count * 1e6, {}, {}},
                      {"peak_mb", responder.peak_megabytes(), {}, most_megabytes}}};
}

void wait_for(const FloodProcesses& flood, std::size_t connections) {
  const auto give_up = Clock::now() + longest_rise;
  while (flood.established() < connections) {
    if (Clock::now() > give_up) throw std::runtime_error("the flood does not rise");
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

Measurement measure_flood(const Options& options, const std::string& database_url,
                          const std::filesystem::path& folder, test::FloodOptions flood_options) {
  const MeasuredResponder responder(options.text("csrq"), database_url, folder, "");
  flood_options.port = responder.port();
  const FloodProcesses flood(flood_options);
  wait_for(flood, flood_options.connections);
  std::vector<double> taken;
  double failed = 0;
  const double cpu_before = responder.cpu_seconds();
  const std::uint64_t established_before = flood.established();
  const Clock::time_point start = Clock::now();
  while (Clock::now() < start + std::chrono::seconds(options.number("seconds"))) {
    const std::optional<Duration> answer = test::probe(responder.port());
    if (answer)
      taken.push_back(seconds(*answer) * 1000);
    else
      ++failed;
    std::this_thread::sleep_for(between_probes);
  }
  const double wall = std::chrono::duration<double>(Clock::now() - start).count();
  if (taken.empty()) taken.push_back(10'000);
  return {.labels = {{"flood", std::string(to_string(flood_options.kinds.front()))},
                     {"connections", std::to_string(flood_options.connections)},
                     {"addresses", std::to_string(flood_options.addresses)}},
          .figures = {
              {"opened_per_s", static_cast<double>(flood.established() - established_before) / wall, {}, {}},
              {"answers", static_cast<double>(taken.size()), {}, {}},
              {"failed", failed, {}, 0.0},
              {"median_ms", median(taken), {}, {}},
              {"p99_ms", percentile(taken, 0.99), {}, {}},
              {"max_ms", percentile(taken, 1), {}, most_milliseconds},
              {"cpu_share", (responder.cpu_seconds() - cpu_before) / wall, {}, {}},
              {"peak_mb", responder.peak_megabytes(), {}, most_megabytes}}};
}

test::FloodKind kind_named(const std::string& name) {
  for (const test::FloodKind kind : test::all_flood_kinds)
    if (to_string(kind) == name) return kind;
  throw UsageError("there is no flood \"" + name + "\"");
}

void show(const std::vector<Measurement>& measurements, bool as_json) {
  if (!as_json) return print_table(measurements);
  for (const Measurement& measurement : measurements) print_json(measurement);
}

bool any_missed(const std::vector<Measurement>& measurements) {
  return std::ranges::any_of(measurements, [](const Measurement& measurement) {
    return std::ranges::any_of(measurement.figures, &Figure::missed);
  });
}

int run(const Options& options) {
  raise_descriptor_limit();
  std::vector<test::FloodKind> kinds;
  for (const std::string& name : options.texts("floods")) kinds.push_back(kind_named(name));
  TemporaryFolder folder(options.has("keep"));
  PrivateCluster cluster(folder.path() / "cluster");
  const std::string owner_url = cluster.new_database("responder");
  {
    pqxx::connection connection(owner_url);
    pqxx::nontransaction(connection).exec(a_challenge_sql);
  }
  const std::string url = cluster.url_as_member("responder", "csrq_responder");

  std::vector<Measurement> floods;
  for (const test::FloodKind kind : kinds)
    for (const auto& [connections, addresses] : {std::pair(10'000UL, 1UL), std::pair(20'000UL, 200UL)})
      floods.push_back(measure_flood(options, url, folder.path() / std::to_string(floods.size()),
                                     {.kinds = {kind}, .connections = connections, .addresses = addresses}));
  const std::vector<Measurement> rates{
      measure_rate(options, url, folder.path() / "ca", "a CA: a connection for each request", ""),
      measure_rate(options, url, folder.path() / "front", "a front end that keeps connections",
                   "127.0.0.0/8")};
  show(rates, options.has("json"));
  show(floods, options.has("json"));
  return any_missed(rates) || any_missed(floods) ? 1 : 0;
}

}  // namespace

int main(int count, char** words) {
  return guarded(run, count, words,
                 {{"seconds", "10"},
                  {"clients", "16"},
                  {"floods", "idle,octets,keep-alive,half-closed,tls,headers,tokens"},
                  {"csrq", test::build_folder() / "csrq"},
                  {"keep", ""},
                  {"json", ""}},
                 usage);
}
