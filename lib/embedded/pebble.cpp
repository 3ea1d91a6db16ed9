#include "embedded/pebble.hpp"

#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "embedded/certificates.hpp"
#include "embedded/ports.hpp"
#include "embedded/process.hpp"
#include "http/client.hpp"

namespace csrq::embedded {

namespace fs = std::filesystem;

namespace {

constexpr std::chrono::seconds start_deadline{30};
constexpr int attempts = 5;  // a free port may be taken by another process before it is used

std::string local(int port) {
  return "127.0.0.1:" + std::to_string(port);
}

fs::path made_folder(const std::string& name) {
  const fs::path folder = fs::absolute(name);
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw UsageError("cannot make the folder " + folder.string() + ": " + error.message());
  return folder;
}

/// pebble-challtestsrv's flags changed their names; its help says which it has.
std::vector<std::string> dns_server_command(int dns_port, int management_port) {
  const std::string program = require_program("pebble-challtestsrv", "pebble");
  const std::string help = run({.command = {program, "-help"}}).output;
  std::vector<std::string> command{program,
                                   help.find("-dnsserver") == std::string::npos ? "-dns01" : "-dnsserver",
                                   local(dns_port), "-management", local(management_port)};
  for (const char* unused : {"-http01", "-https01", "-tlsalpn01", "-doh"})
    if (help.find(unused) != std::string::npos) command.insert(command.end(), {unused, ""});
  command.insert(command.end(), {"-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""});
  return command;
}

}  // namespace

struct Pebble::Impl {
  PebbleOptions options;
  fs::path folder;
  ServerCertificate certificate;
  http::Client client;
  int port{};
  int management_port{};
  int dns_port{};
  int dns_management_port{};
  std::optional<Process> dns_server{};
  std::optional<Process> pebble{};

  explicit Impl(PebbleOptions given)
      : options(std::move(given)),
        folder(made_folder(options.folder)),
        certificate(server_certificate(folder)),
        client({.ca_file = certificate.ca_file, .connections = 1}) {}

  std::string directory_url() const { return "https://" + local(port) + "/dir"; }
  std::string management_url() const { return "https://" + local(management_port); }
  fs::path pebble_log() const { return folder / "pebble.log"; }
  fs::path dns_log() const { return folder / "challtestsrv.log"; }

  void write_config() const {
    nlohmann::json config{
        {"listenAddress", local(port)},
        {"managementListenAddress", local(management_port)},
        {"certificate", certificate.certificate_file},
        {"privateKey", certificate.key_file},
        {"httpPort", options.http_port},
        {"tlsPort", options.tls_port},
        {"ocspResponderURL", ""},
        {"domainBlocklist", options.blocked_domains},
        {"externalAccountBindingRequired", !options.external_account_keys.empty()},
        {"externalAccountMACKeys", options.external_account_keys},
        {"certificateValidityPeriod",
         std::chrono::duration_cast<std::chrono::seconds>(options.certificate_validity).count()},
    };
    std::ofstream file(folder / "pebble.json", std::ios::trunc);
    file << nlohmann::json{{"pebble", config}}.dump(2) << '\n';
    if (!file.flush()) throw UsageError("cannot write " + (folder / "pebble.json").string());
  }

  ProcessOptions pebble_program() const {
    const auto flag = [](bool set) { return set ? "1" : "0"; };
    return {.command = {require_program("pebble", "pebble"), "-config", folder / "pebble.json", "-dnsserver",
                        local(dns_port)},
            .environment = {{"PEBBLE_VA_NOSLEEP", flag(!options.wait_before_validation)},
                            {"PEBBLE_VA_ALWAYS_VALID", flag(options.always_valid)},
                            {"PEBBLE_WFE_NONCEREJECT", std::to_string(options.nonce_reject_percent)},
                            {"PEBBLE_AUTHZREUSE", std::to_string(options.authorization_reuse_percent)},
                            {"PEBBLE_ALTERNATE_ROOTS", std::to_string(options.alternate_roots)},
                            {"PEBBLE_CHAIN_LENGTH", std::to_string(options.chain_length)}},
            .log_file = pebble_log()};
  }

  /// False if the process ended instead of becoming ready.
  bool ready(Process& process, const fs::path& log, const std::function<bool()>& answers) const {
    const auto until = std::chrono::steady_clock::now() + start_deadline;
    while (!process.wait(std::chrono::milliseconds(10))) {
      if (answers()) return process.running();
      if (std::chrono::steady_clock::now() > until)
        throw Unreachable("no answer from the server whose log is " + log.string() + ":\n" + last_lines(log));
    }
    return false;
  }

  bool start_dns_server() {
    dns_port = free_port();
    do dns_management_port = free_port();
    while (dns_management_port == dns_port);
    dns_server.emplace(
        ProcessOptions{.command = dns_server_command(dns_port, dns_management_port), .log_file = dns_log()});
    return ready(*dns_server, dns_log(), [this] {
      return accepts_connections(dns_port) && accepts_connections(dns_management_port);
    });
  }

  bool start_pebble() {
    write_config();
    pebble.emplace(pebble_program());
    return ready(*pebble, pebble_log(),
                 [this] { return answers(directory_url()) && answers(management_url() + "/roots/0"); });
  }

  bool answers(const std::string& url) {
    try {
      return client.send({.url = url}).status == 200;
    } catch (const Error&) {
      return false;
    }
  }

  /// Picks the ports that may be picked, until both servers got theirs.
  void start() {
    for (int attempt = 0; attempt < attempts; ++attempt) {
      port = options.port != 0 ? options.port : free_port();
      management_port = options.management_port != 0 ? options.management_port : free_port();
      if (port != management_port && start_dns_server() && start_pebble()) return;
    }
    throw Unreachable("Pebble ended at its start; " + pebble_log().string() + " says:\n" +
                      last_lines(pebble_log()) + "\nand " + dns_log().string() + ":\n" +
                      last_lines(dns_log()));
  }
};

Pebble::Pebble(PebbleOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {
  fs::remove(impl_->pebble_log());
  fs::remove(impl_->dns_log());
  impl_->start();
}

Pebble::~Pebble() = default;

std::string Pebble::directory_url() const {
  return impl_->directory_url();
}

std::string Pebble::management_url() const {
  return impl_->management_url();
}

std::string Pebble::dns_url() const {
  return "http://" + local(impl_->dns_management_port);
}

int Pebble::port() const {
  return impl_->port;
}

std::string Pebble::ca_file() const {
  return impl_->certificate.ca_file;
}

std::string Pebble::certificate_file() const {
  return impl_->certificate.certificate_file;
}

std::string Pebble::key_file() const {
  return impl_->certificate.key_file;
}

std::string Pebble::root_pem(int index) const {
  const std::string url = management_url() + "/roots/" + std::to_string(index);
  const http::Response response = impl_->client.send({.url = url});
  if (response.status != 200) throw Unreachable(url + " answers " + std::to_string(response.status));
  return response.body;
}

std::optional<CertificateStatus> Pebble::certificate_status(const std::string& serial) const {
  const http::Response response =
      impl_->client.send({.url = management_url() + "/cert-status-by-serial/" + serial});
  if (response.status != 200) return std::nullopt;
  const nlohmann::json answer = nlohmann::json::parse(response.body);
  CertificateStatus status{.revoked = answer.at("Status") == "Revoked"};
  if (answer.contains("Reason") && answer["Reason"].is_number()) status.reason = answer["Reason"].get<int>();
  return status;
}

bool Pebble::running() {
  return impl_->pebble && impl_->pebble->running();
}

pid_t Pebble::pid() const {
  return impl_->pebble->pid();
}

void Pebble::stop() {
  if (running()) impl_->pebble->stop();
}

void Pebble::kill() {
  if (running()) impl_->pebble->stop(SIGKILL);
}

void Pebble::restart() {
  stop();
  if (!impl_->start_pebble())
    throw Unreachable("Pebble ended at its start; " + impl_->pebble_log().string() + " says:\n" +
                      last_lines(impl_->pebble_log()));
}

}  // namespace csrq::embedded
