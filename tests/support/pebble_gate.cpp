#include "support/pebble_gate.hpp"

#include <httplib.h>
#include <sys/socket.h>

#include <atomic>
#include <iostream>
#include <mutex>
#include <set>
#include <shared_mutex>
#include <stdexcept>
#include <thread>
#include <vector>

#include "base/identifier.hpp"
#include "support/client_connections.hpp"

namespace csrq::test {

namespace {

constexpr std::size_t threads = 64;  // one for each connection that a client keeps
constexpr int keep_alive_seconds = 60;
std::atomic<bool> some_frozen_unnoticed{false};

/// The kind of a request: the first segment of its path.
std::string kind_of(const std::string& target) {
  const std::size_t end = target.find_first_of("/?", 1);
  return target.size() < 2 ? "" : target.substr(1, end == std::string::npos ? end : end - 1);
}

/// Keeps newOrder and requests for authorizations apart. Those for authorizations may overlap each other;
/// whoever comes first goes first, so that none starves.
class Separation {
 public:
  void enter_alone() {
    const std::lock_guard first(turnstile_);
    room_.lock();
  }
  void enter_shared() {
    const std::lock_guard first(turnstile_);
    room_.lock_shared();
  }
  void leave_alone() { room_.unlock(); }
  void leave_shared() { room_.unlock_shared(); }

 private:
  std::mutex turnstile_;
  std::shared_mutex room_;
};

/// A stay in the room that a request's kind asks for, if any.
class Stay {
 public:
  Stay(Separation& separation, const std::string& kind)
      : separation_(separation), alone_(kind == "order-plz"), shared_(kind == "authZ") {
    if (alone_) separation_.enter_alone();
    if (shared_) separation_.enter_shared();
  }
  ~Stay() {
    if (alone_) separation_.leave_alone();
    if (shared_) separation_.leave_shared();
  }
  Stay(const Stay&) = delete;
  Stay& operator=(const Stay&) = delete;

 private:
  Separation& separation_;
  bool alone_;
  bool shared_;
};

bool belongs_to_one_hop(const std::string& header) {
  static const std::set<std::string> names{"connection",        "keep-alive",  "content-length",
                                           "transfer-encoding", "remote_addr", "remote_port",
                                           "local_addr",        "local_port"};
  return names.contains(to_lower_ascii(header));
}

httplib::Headers forwarded(const httplib::Headers& headers) {
  httplib::Headers result;
  for (const auto& [name, value] : headers)
    if (!belongs_to_one_hop(name)) result.emplace(name, value);
  return result;
}

}  // namespace

struct PebbleGate::Impl {
  const embedded::Pebble& pebble;
  Duration patience;
  ClientConnections connections{};
  Separation separation{};
  httplib::SSLServer server;
  int port{};
  std::thread listener{};

  mutable std::mutex mutex{};  // of everything below
  std::vector<std::unique_ptr<httplib::SSLClient>> idle{};
  std::map<std::string, std::uint64_t> counts{};
  std::map<std::string, std::uint64_t> accepted{};
  std::map<std::string, int> losses{};  // how many requests of a kind until the one whose answer is lost
  std::atomic<bool> frozen{false};
  std::atomic<bool> noticed{false};

  Impl(const embedded::Pebble& given, Duration limit)
      : pebble(given), patience(limit), server(given.certificate_file().c_str(), given.key_file().c_str()) {
    if (!server.is_valid()) throw std::runtime_error("the gate cannot use " + pebble.certificate_file());
    server.new_task_queue = [this] { return new CountingQueue(connections, threads); };
    server.set_tcp_nodelay(true);
    server.set_keep_alive_max_count(1'000'000);
    server.set_keep_alive_timeout(keep_alive_seconds);
    const httplib::Server::Handler handler =
        [this](const httplib::Request& request, httplib::Response& response) { handle(request, response); };
    server.Get(".*", handler).Post(".*", handler);  // Get stands for HEAD, too
    port = server.bind_to_any_port("127.0.0.1");
    listener = std::thread([this] { server.listen_after_bind(); });
  }

  ~Impl() {
    while (!server.is_running()) std::this_thread::yield();
    server.stop();
    connections.close_all();
    listener.join();
    if (frozen && !noticed) some_frozen_unnoticed = true;
  }

  /// Counts, and says whether this request's answer shall be lost.
  bool count(const std::string& kind) {
    const std::lock_guard lock(mutex);
    ++counts[kind];
    const auto loss = losses.find(kind);
    if (loss == losses.end() || --loss->second > 0) return false;
    losses.erase(loss);
    return true;
  }

  std::unique_ptr<httplib::SSLClient> take_client() {
    {
      const std::lock_guard lock(mutex);
      if (!idle.empty()) {
        auto client = std::move(idle.back());
        idle.pop_back();
        return client;
      }
    }
    auto client = std::make_unique<httplib::SSLClient>("127.0.0.1", pebble.port());
    client->set_ca_cert_path(pebble.ca_file());
    client->enable_server_certificate_verification(true);
    client->set_keep_alive(true);
    client->set_tcp_nodelay(true);
    client->set_decompress(false);
    client->set_url_encode(false);
    client->set_connection_timeout(patience);  // of the TLS handshake, too
    client->set_read_timeout(patience);
    return client;
  }

  httplib::Result ask_pebble(const httplib::Request& request, const std::string& kind) {
    httplib::Request copy;
    copy.method = request.method;
    copy.path = request.target;
    copy.headers = forwarded(request.headers);
    copy.body = request.body;
    const Stay stay(separation, kind);
    const auto start = std::chrono::steady_clock::now();
    auto client = take_client();
    httplib::Result result = client->send(copy);
    if (result) {
      const std::lock_guard lock(mutex);
      idle.push_back(std::move(client));
    } else if (std::chrono::steady_clock::now() - start >= patience) {
      report_frozen(request);
    }
    return result;
  }

  void report_frozen(const httplib::Request& request) {
    frozen = true;
    std::cerr << "Pebble froze: no answer to " << request.method << ' ' << request.target << " within "
              << to_text(patience) << '\n';
  }

  void handle(const httplib::Request& request, httplib::Response& response) {
    const int socket = SSL_get_fd(request.ssl);
    connections.seen(socket);
    const std::string kind = kind_of(request.target);
    const bool lose = count(kind);
    const httplib::Result result = ask_pebble(request, kind);
    if (result && result->status < 400) {
      const std::lock_guard lock(mutex);
      ++accepted[kind];
    }
    if (!result && frozen) {
      response.status = 504;
      response.set_content("Pebble froze\n", "text/plain");
    } else if (!result || lose) {
      ::shutdown(socket, SHUT_RDWR);
    } else {
      response.status = result->status;
      response.headers = forwarded(result->headers);
      response.body = result->body;
    }
  }
};

PebbleGate::PebbleGate(const embedded::Pebble& pebble, Duration patience)
    : impl_(std::make_unique<Impl>(pebble, patience)) {}

PebbleGate::~PebbleGate() = default;

std::string PebbleGate::directory_url() const {
  return "https://127.0.0.1:" + std::to_string(impl_->port) + "/dir";
}

std::string PebbleGate::ca_file() const {
  return impl_->pebble.ca_file();
}

std::uint64_t PebbleGate::requests() const {
  std::uint64_t sum = 0;
  for (const auto& [kind, number] : requests_by_kind()) sum += number;
  return sum;
}

std::uint64_t PebbleGate::requests(const std::string& kind) const {
  const std::lock_guard lock(impl_->mutex);
  const auto found = impl_->counts.find(kind);
  return found == impl_->counts.end() ? 0 : found->second;
}

std::map<std::string, std::uint64_t> PebbleGate::requests_by_kind() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->counts;
}

std::uint64_t PebbleGate::accepted(const std::string& kind) const {
  const std::lock_guard lock(impl_->mutex);
  const auto found = impl_->accepted.find(kind);
  return found == impl_->accepted.end() ? 0 : found->second;
}

std::uint64_t PebbleGate::connections() const {
  return impl_->connections.opened();
}

void PebbleGate::lose_answer(const std::string& kind, int number) {
  const std::lock_guard lock(impl_->mutex);
  impl_->losses[kind] = number;
}

bool PebbleGate::frozen() const {
  if (impl_->frozen) impl_->noticed = true;
  return impl_->frozen;
}

bool PebbleGate::frozen_unnoticed() {
  return some_frozen_unnoticed;
}

}  // namespace csrq::test
