#include "support/acme_stub.hpp"

#include <httplib.h>

#include <array>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <thread>

#include "base/encoding.hpp"
#include "crypto/certificate.hpp"
#include "support/client_connections.hpp"
#include "support/stub_ca.hpp"
#include "support/stub_limits.hpp"
#include "support/test_cluster.hpp"

namespace csrq::test {

namespace {

constexpr int keep_alive_seconds = 60;
constexpr std::size_t kinds = static_cast<std::size_t>(StubRequest::unknown) + 1;

std::string new_folder() {
  static std::atomic<int> counter{0};
  const std::filesystem::path folder = run_folder() / ("stub-" + std::to_string(++counter));
  std::filesystem::create_directories(folder);
  return folder.string();
}

std::string written(const std::string& file, const std::string& text) {
  std::ofstream stream(file);
  stream << text;
  if (!stream.flush()) throw std::runtime_error("cannot write " + file);
  return file;
}

StubHttpRequest request_of(const httplib::Request& request) {
  return {.method = request.method,
          .target = request.target,
          .content_type = request.get_header_value("Content-Type"),
          .user_agent = request.get_header_value("User-Agent"),
          .body = request.body};
}

}  // namespace

struct AcmeStub::Impl {
  StubServerIdentity identity;
  std::string anchor_file;
  ClientConnections connections{};
  FaultPlan plan{};
  StubLimits limits{};
  std::array<std::atomic<std::uint64_t>, kinds> counts{};
  std::array<std::atomic<std::uint64_t>, kinds> accepted{};
  httplib::SSLServer server;
  int port{};
  std::unique_ptr<StubCa> ca{};
  std::thread listener{};

  explicit Impl(const StubOptions& options)
      : identity(make_server_identity()),
        anchor_file(written(new_folder() + "/ca.pem", identity.anchor_pem)),
        server(identity.certificate.get(), identity.key.get()) {
    if (!server.is_valid()) throw std::runtime_error("the stub's TLS server cannot start");
    server.new_task_queue = [this, threads = options.threads] {
      return new CountingQueue(connections, static_cast<std::size_t>(threads));
    };
    server.set_tcp_nodelay(true);
    server.set_keep_alive_max_count(1'000'000'000);
    server.set_keep_alive_timeout(keep_alive_seconds);
    const httplib::Server::Handler handler =
        [this](const httplib::Request& request, httplib::Response& response) { handle(request, response); };
    server.Get(".*", handler).Post(".*", handler);  // Get stands for HEAD, too
    port = server.bind_to_any_port("127.0.0.1");
    ca = std::make_unique<StubCa>(options, "https://127.0.0.1:" + std::to_string(port));
    listener = std::thread([this] { server.listen_after_bind(); });
  }

  ~Impl() {
    plan.release_all();
    while (!server.is_running()) std::this_thread::yield();
    server.stop();
    connections.close_all();
    listener.join();
  }

  std::optional<StubAnswer> answer(const StubHttpRequest& request, StubRequest kind) {
    if (!limits.admits(kind))
      return faults::problem(503, "rateLimited", "Service busy; retry later.", {}, "1").answer;
    const std::optional<Fault> fault = plan.arrive(kind);
    if (fault && !fault->carried_out) return fault->answer;
    std::optional<StubAnswer> right = ca->handle(request, kind);
    if (right && right->status < 400) ++accepted.at(static_cast<std::size_t>(kind));
    plan.done(kind);
    return fault ? fault->answer : right;
  }

  void handle(const httplib::Request& received, httplib::Response& response) {
    const int socket = SSL_get_fd(received.ssl);
    connections.seen(socket);
    const StubHttpRequest request = request_of(received);
    const StubRequest kind = kind_of(request);
    ++counts.at(static_cast<std::size_t>(kind));
    const std::optional<StubAnswer> found = answer(request, kind);
    if (!found) {
      ca->excuse_repetition(request);
      ::shutdown(socket, SHUT_RDWR);
      return;
    }
    response.status = found->status;
    for (const auto& [name, value] : found->headers) response.set_header(name, value);
    if ((request.method == "POST" || kind == StubRequest::new_nonce) && !response.has_header("Replay-Nonce"))
      response.set_header("Replay-Nonce", ca->fresh_nonce());
    response.set_header("Cache-Control", "public, max-age=0, no-cache");
    if (!found->content_type.empty()) response.set_header("Content-Type", found->content_type);
    response.body = found->body;
  }
};

AcmeStub::AcmeStub(StubOptions options) : impl_(std::make_unique<Impl>(options)) {}

AcmeStub::~AcmeStub() = default;

std::string AcmeStub::directory_url() const {
  return impl_->ca->directory_url();
}

std::string AcmeStub::ca_file() const {
  return impl_->anchor_file;
}

int AcmeStub::port() const {
  return impl_->port;
}

void AcmeStub::change(const std::function<void(StubBehaviour&)>& edit) {
  impl_->ca->change(edit);
}

void AcmeStub::fail_next(StubRequest kind, Fault fault, int count, int skip) {
  impl_->plan.fail_next(kind, std::move(fault), count, skip);
}

Hold AcmeStub::hold_next(StubRequest kind, HoldPoint point) {
  return impl_->plan.hold_next(kind, point);
}

void AcmeStub::limit(StubRequest kind, int per_second) {
  impl_->limits.set(kind, per_second);
}

std::uint64_t AcmeStub::turned_away() const {
  return impl_->limits.turned_away();
}

std::uint64_t AcmeStub::requests() const {
  std::uint64_t sum = 0;
  for (const auto& count : impl_->counts) sum += count;
  return sum;
}

std::uint64_t AcmeStub::requests(StubRequest kind) const {
  return impl_->counts.at(static_cast<std::size_t>(kind));
}

std::map<StubRequest, std::uint64_t> AcmeStub::requests_by_kind() const {
  std::map<StubRequest, std::uint64_t> result;
  for (std::size_t i = 0; i < kinds; ++i)
    if (const std::uint64_t count = impl_->counts.at(i)) result[static_cast<StubRequest>(i)] = count;
  return result;
}

std::uint64_t AcmeStub::accepted(StubRequest kind) const {
  return impl_->accepted.at(static_cast<std::size_t>(kind));
}

void AcmeStub::forget_requests() {
  for (auto& count : impl_->counts) count = 0;
  for (auto& count : impl_->accepted) count = 0;
}

std::uint64_t AcmeStub::connections() const {
  return impl_->connections.opened();
}

std::uint64_t AcmeStub::issued() const {
  return impl_->ca->issued();
}

std::vector<StubAccount> AcmeStub::accounts() const {
  return impl_->ca->accounts();
}

std::vector<StubOrder> AcmeStub::orders() const {
  return impl_->ca->orders();
}

std::vector<StubAuthorization> AcmeStub::authorizations() const {
  return impl_->ca->authorizations();
}

std::vector<StubCertificate> AcmeStub::certificates() const {
  return impl_->ca->certificates();
}

std::vector<std::string> AcmeStub::complaints() const {
  return impl_->ca->complaints();
}

std::string AcmeStub::root_pem(int index) const {
  return certificate_pem(impl_->ca->pki().root(static_cast<std::size_t>(index)));
}

std::string AcmeStub::root_name(int index) {
  return StubPki::root_name(index);
}

std::string AcmeStub::root_fingerprint(int index) const {
  const std::string& der = impl_->ca->pki().root(static_cast<std::size_t>(index));
  return hex(crypto::Certificate::from_der(der).fingerprint_sha256());
}

void AcmeStub::move_endpoints() {
  impl_->ca->move_endpoints();
}

void AcmeStub::forget_account(const std::string& url) {
  impl_->ca->forget_account(url);
}

void AcmeStub::deactivate_account(const std::string& url) {
  impl_->ca->set_account_status(url, "deactivated");
}

void AcmeStub::forget_order(const std::string& url) {
  impl_->ca->forget_order(url);
}

void AcmeStub::set_order_status(const std::string& url, const std::string& status) {
  impl_->ca->set_order_status(url, status);
}

void AcmeStub::set_authorization_status(const std::string& url, const std::string& status) {
  impl_->ca->set_authorization_status(url, status);
}

}  // namespace csrq::test
