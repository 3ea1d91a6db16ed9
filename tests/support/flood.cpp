#include "support/flood.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <deque>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "base/descriptors.hpp"

namespace csrq::test {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr std::string_view request = "GET /.well-known/acme-challenge/nobodys HTTP/1.1\r\nHost: h\r\n\r\n";
constexpr auto something_is_sent_each = 1500ms;

sockaddr_in endpoint(std::uint32_t address, int port) {
  sockaddr_in endpoint{};
  endpoint.sin_family = AF_INET;
  endpoint.sin_port = htons(static_cast<std::uint16_t>(port));
  endpoint.sin_addr.s_addr = htonl(address);
  return endpoint;
}

/// 127.9.0.1 and on, 250 of them in a network of 24 bits.
std::uint32_t flooding_address(std::size_t number) {
  return 0x7f090001U + static_cast<std::uint32_t>(number / 250 * 256 + number % 250);
}

/// A little less than the responder takes.
std::string_view most_of_a_header() {
  static const std::string text = "GET / HTTP/1.1\r\nHost: h\r\nX: " + std::string(8000, 'x');
  return text;
}

std::string_view first_words(FloodKind kind) {
  switch (kind) {
    case FloodKind::idle:
      return {};
    case FloodKind::octets:
      return "GET / HTTP/1.1\r\nHost: h\r\nX: ";
    case FloodKind::keep_alive:
      return "GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\n\r\n";
    case FloodKind::half_closed:
      return "GET / HT";
    case FloodKind::tls:
      return {"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\x00\x00", 13};
    case FloodKind::headers:
      return most_of_a_header();
    case FloodKind::tokens:
      return request;
  }
  return {};
}

/// Sent on each connection now and then.
std::string_view further_words(FloodKind kind) {
  switch (kind) {
    case FloodKind::octets:
      return "x";
    case FloodKind::keep_alive:
      return first_words(kind);
    default:
      return {};
  }
}

void say(int socket, std::string_view words) {
  // What cannot be sent is not: the connection is gone then, or will be.
  [[maybe_unused]] const ssize_t sent =
      ::send(socket, words.data(), words.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

}  // namespace

std::string_view to_string(FloodKind kind) {
  switch (kind) {
    case FloodKind::idle:
      return "idle";
    case FloodKind::octets:
      return "octets";
    case FloodKind::keep_alive:
      return "keep-alive";
    case FloodKind::half_closed:
      return "half-closed";
    case FloodKind::tls:
      return "tls";
    case FloodKind::headers:
      return "headers";
    case FloodKind::tokens:
      return "tokens";
  }
  return {};
}

/// One of them; closed where the socket is negative.
struct Flood::Client {
  sockaddr_in address{};
  FloodKind kind{};
  int socket{-1};
  bool established{false};

  void open(int epoll, std::size_t number, const sockaddr_in& server) {
    socket = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int yes = 1;
    const linger forget{1, 0};
    ::setsockopt(socket, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes);
    ::setsockopt(socket, SOL_SOCKET, SO_LINGER, &forget, sizeof forget);
    // What comes of these is seen by epoll.
    std::ignore = ::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address);
    std::ignore = ::connect(socket, reinterpret_cast<const sockaddr*>(&server), sizeof server);
    epoll_event event{};
    event.events = EPOLLIN | EPOLLOUT | EPOLLET;
    event.data.u64 = number;
    ::epoll_ctl(epoll, EPOLL_CTL_ADD, socket, &event);
  }

  /// Whether the server has closed it.
  bool is_over() const {
    std::array<char, 4096> answer{};
    ssize_t octets = 0;
    while ((octets = ::recv(socket, answer.data(), answer.size(), MSG_DONTWAIT)) > 0) {
    }
    return octets == 0 || (errno != EAGAIN && errno != EINTR);
  }

  void close() {
    ::close(socket);
    socket = -1;
    established = false;
  }
};

/// All of them.
class Flood::Crowd {
 public:
  explicit Crowd(Flood& flood)
      : flood_(flood),
        options_(flood.options_),
        server_(endpoint(INADDR_LOOPBACK, options_.port)),
        clients_(options_.connections) {
    const Clock::time_point start = Clock::now();
    for (std::size_t number = 0; number < clients_.size(); ++number) {
      clients_[number].address = endpoint(flooding_address(number % options_.addresses), 0);
      clients_[number].kind = options_.kinds[number / options_.addresses % options_.kinds.size()];
      to_open_.emplace_back(start + not_before(number), number);
    }
  }
  ~Crowd() {
    for (Client& client : clients_)
      if (client.socket >= 0) client.close();
    ::close(epoll_);
  }
  Crowd(const Crowd&) = delete;
  Crowd& operator=(const Crowd&) = delete;

  /// Few at once, so that those which are there are served, too.
  void open_some() {
    for (int opened = 0; opened < 256 && is_one_due(); ++opened) {
      const std::size_t number = to_open_.front().second;
      to_open_.pop_front();
      clients_[number].open(epoll_, number, server_);
    }
  }

  /// For something to happen.
  void wait() {
    std::array<epoll_event, 512> events{};
    const int count =
        ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), is_one_due() ? 0 : 10);
    for (int index = 0; index < count; ++index) {
      const epoll_event& event = events[static_cast<std::size_t>(index)];
      on_event(event.data.u64, event.events);
    }
  }

  void say_something() const {
    for (const Client& client : clients_)
      if (client.established) say(client.socket, further_words(client.kind));
  }

 private:
  Duration not_before(std::size_t number) const {
    if (options_.opened_per_second == 0) return Duration();
    return Duration(Duration(1s).count() * static_cast<Duration::rep>(number) /
                    static_cast<Duration::rep>(options_.opened_per_second));
  }

  bool is_one_due() const { return !to_open_.empty() && to_open_.front().first <= Clock::now(); }

  void on_event(std::size_t number, std::uint32_t events) {
    Client& client = clients_[number];
    if (!client.established && (events & EPOLLOUT) != 0 && (events & (EPOLLERR | EPOLLHUP)) == 0) {
      client.established = true;
      ++flood_.established_;
      ++flood_.open_;
      say(client.socket, first_words(client.kind));
      if (client.kind == FloodKind::half_closed) ::shutdown(client.socket, SHUT_WR);
    }
    if ((events & (EPOLLIN | EPOLLERR | EPOLLHUP)) == 0 || !client.is_over()) return;
    if (client.established) --flood_.open_;
    client.close();
    to_open_.emplace_back(Clock::now() + options_.opened_again, number);
  }

  Flood& flood_;
  const FloodOptions& options_;
  const sockaddr_in server_;
  const int epoll_{::epoll_create1(EPOLL_CLOEXEC)};
  std::vector<Client> clients_;
  std::deque<std::pair<Clock::time_point, std::size_t>> to_open_{};
};

Flood::Flood(FloodOptions options) : options_(std::move(options)) {
  constexpr std::size_t for_others = 100;
  if (descriptor_limit() < options_.connections + for_others)
    throw std::runtime_error("the limit of open files is too low for this flood");
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

Flood::~Flood() = default;

void Flood::run(const std::stop_token& stop) {
  Crowd crowd(*this);
  for (Clock::time_point next_words = Clock::now() + something_is_sent_each; !stop.stop_requested();) {
    crowd.open_some();
    crowd.wait();
    if (Clock::now() < next_words) continue;
    next_words = Clock::now() + something_is_sent_each;
    crowd.say_something();
  }
}

std::optional<Duration> probe(int port) {
  const Clock::time_point start = Clock::now();
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const timeval patience{.tv_sec = 10, .tv_usec = 0};
  ::setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  ::setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  const sockaddr_in server = endpoint(INADDR_LOOPBACK, port);
  std::array<char, 1024> answer{};
  ssize_t octets = -1;
  if (::connect(socket, reinterpret_cast<const sockaddr*>(&server), sizeof server) == 0) {
    say(socket, request);
    octets = ::recv(socket, answer.data(), answer.size(), 0);
  }
  ::close(socket);
  const bool is_answer =
      octets > 0 &&
      std::string_view(answer.data(), static_cast<std::size_t>(octets)).starts_with("HTTP/1.1 404 ");
  if (!is_answer) return std::nullopt;
  return std::chrono::duration_cast<Duration>(Clock::now() - start);
}

}  // namespace csrq::test
