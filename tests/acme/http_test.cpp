#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <latch>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "base/error.hpp"
#include "http/client.hpp"
#include "http/server.hpp"
#include "support/loopback_listener.hpp"

using namespace std::chrono_literals;
using namespace csrq::http;
using csrq::Error;
using csrq::FailureClass;
using csrq::UsageError;

namespace {

using Clock = std::chrono::steady_clock;

/// A TCP client that sends what it is told, acceptable or not. Every wait ends after ten seconds.
class RawClient {
 public:
  explicit RawClient(int port, const std::string& from = "127.0.0.1")
      : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    bind(from);
    connect(port);
  }
  ~RawClient() { ::close(socket_); }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  bool send(std::string_view octets) {
    return ::send(socket_, octets.data(), octets.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(octets.size());
  }

  /// Everything until the server closes.
  std::string read_all() {
    while (read_some()) {
    }
    return std::exchange(received_, {});
  }

  /// One answer: head, and as much body as Content-Length says.
  std::string read_answer(bool with_body = true) {
    std::size_t end = 0;
    while ((end = received_.find("\r\n\r\n")) == std::string::npos)
      if (!read_some()) return std::exchange(received_, {});
    std::size_t length = end + 4;
    const std::size_t field = received_.find("Content-Length: ");
    if (with_body && field < end) length += std::strtoul(received_.c_str() + field + 16, nullptr, 10);
    while (received_.size() < length && read_some()) {
    }
    const std::string answer = received_.substr(0, length);
    received_.erase(0, length);
    return answer;
  }

 private:
  static sockaddr_in endpoint(const std::string& address, int port) {
    sockaddr_in endpoint{};
    endpoint.sin_family = AF_INET;
    endpoint.sin_port = htons(static_cast<std::uint16_t>(port));
    ::inet_pton(AF_INET, address.c_str(), &endpoint.sin_addr);
    return endpoint;
  }
  void bind(const std::string& from) {
    const sockaddr_in address = endpoint(from, 0);
    if (::bind(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
      throw std::runtime_error("cannot bind to " + from);
  }
  void connect(int port) {
    const sockaddr_in address = endpoint("127.0.0.1", port);
    if (::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
      throw std::runtime_error("cannot connect to the server under test");
  }

  bool read_some() {
    pollfd ready{socket_, POLLIN, 0};
    if (::poll(&ready, 1, 10'000) != 1) throw std::runtime_error("no answer within ten seconds");
    char buffer[4096];
    const ssize_t count = ::recv(socket_, buffer, sizeof buffer, 0);
    if (count > 0) received_.append(buffer, static_cast<std::size_t>(count));
    return count > 0;
  }

  int socket_;
  std::string received_{};
};

/// Holds callers back until it is opened.
class Gate {
 public:
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void pass() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return open_; });
  }

 private:
  std::mutex mutex_{};
  std::condition_variable changed_{};
  bool open_{false};
};

/// Accepts into the kernel's backlog and never answers.
class SilentListener {
 public:
  int port() const { return listener_.port(); }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port()) + "/"; }
  void close() { listener_.close(); }

  /// Takes one connection, reads the head of its request, writes `answer` and closes.
  std::string answer_once(std::string_view answer) const {
    const int peer = listener_.accept();
    std::string head;
    char octet = 0;
    while (!head.ends_with("\r\n\r\n") && ::recv(peer, &octet, 1, 0) == 1) head += octet;
    // The client may hang up in the middle; that is its right.
    [[maybe_unused]] const ssize_t sent = ::send(peer, answer.data(), answer.size(), MSG_NOSIGNAL);
    ::close(peer);
    return head;
  }

 private:
  csrq::test::LoopbackListener listener_{64};
};

/// Its clients are front ends.
ServerOptions loopback() {
  return {.listen = "127.0.0.1:0", .front_ends = {csrq::Network::parse("127.0.0.0/8").value()}};
}

/// Its clients are whoever comes.
ServerOptions public_port() {
  return {.listen = "127.0.0.1:0"};
}

ServerResponse echo(const ServerRequest& request) {
  return {.body = request.method + " " + request.target + " " + request.host + " " + request.remote};
}

std::string url_of(const Server& server, const std::string& path = "/") {
  return "http://" + server.address() + path;
}

ClientOptions plain() {
  return {.plain_http = true};
}

std::string get(std::string_view target, std::string_view more = "") {
  return "GET " + std::string(target) + " HTTP/1.1\r\nHost: h\r\n" + std::string(more) + "\r\n";
}

bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

/// The failure of a request that is expected to fail.
csrq::Failure failure_of(Client& client, const Request& request) {
  try {
    const Response response = client.send(request);
    FAIL("the request was answered: " << response.status << ", " << response.body.size() << " octets");
  } catch (const Error& error) {
    return error.failure();
  }
  return {};
}

/// Sends `requests` GETs from each of `threads` threads at once; returns how many were answered with 200.
int send_from_threads(Client& client, const std::string& url, int threads, int requests) {
  std::latch start(threads);
  std::atomic<int> answered{0};
  std::vector<std::jthread> senders;
  senders.reserve(static_cast<std::size_t>(threads));
  for (int index = 0; index < threads; ++index) {
    senders.emplace_back([&] {
      start.arrive_and_wait();
      for (int request = 0; request < requests; ++request)
        if (client.send({.url = url}).status == 200) ++answered;
    });
  }
  senders.clear();
  return answered;
}

/// While it lives this process may open one more file.
class OneDescriptorLeft {
 public:
  OneDescriptorLeft() {
    getrlimit(RLIMIT_NOFILE, &before_);
    rlimit small = before_;
    small.rlim_cur = 64;
    setrlimit(RLIMIT_NOFILE, &small);
    for (int copy = ::dup(0); copy >= 0; copy = ::dup(0)) used_.push_back(copy);
    REQUIRE(!used_.empty());
    ::close(used_.back());
    used_.pop_back();
  }
  ~OneDescriptorLeft() {
    for (const int copy : used_) ::close(copy);
    setrlimit(RLIMIT_NOFILE, &before_);
  }
  OneDescriptorLeft(const OneDescriptorLeft&) = delete;
  OneDescriptorLeft& operator=(const OneDescriptorLeft&) = delete;

 private:
  rlimit before_{};
  std::vector<int> used_{};
};

}  // namespace

TEST_CASE("the server answers GET and HEAD") {
  Server server(loopback(), echo);
  RawClient client(server.port());

  SUBCASE("the handler sees method, target, host without port in lower case, and the peer's address") {
    client.send("GET /a/b?c=d HTTP/1.1\r\nHost: Example.ORG:5002\r\n\r\n");
    const std::string answer = client.read_answer();
    CHECK(answer.starts_with("HTTP/1.1 200 OK\r\n"));
    CHECK(has(answer, "\r\nDate: "));
    CHECK(has(answer, "\r\nContent-Type: text/plain; charset=utf-8\r\n"));
    CHECK(answer.ends_with("\r\n\r\nGET /a/b?c=d example.org 127.0.0.1"));
  }
  SUBCASE("an IPv6 host loses its port, not its address") {
    client.send("GET / HTTP/1.1\r\nHost: [2001:DB8::1]:80\r\n\r\n");
    CHECK(client.read_answer().ends_with("GET / [2001:db8::1] 127.0.0.1"));
    client.send("GET / HTTP/1.1\r\nHost: [2001:DB8::1]\r\n\r\n");
    CHECK(client.read_answer().ends_with("GET / [2001:db8::1] 127.0.0.1"));
  }
  SUBCASE("of an absolute URI the handler sees the path, and its host instead of the header's") {
    client.send("GET http://Example.ORG:80/a?b HTTP/1.1\r\nHost: other\r\n\r\n");
    CHECK(client.read_answer().ends_with("GET /a?b example.org 127.0.0.1"));
    client.send("GET HTTPS://[2001:DB8::1] HTTP/1.1\r\nHost: other\r\n\r\n");
    CHECK(client.read_answer().ends_with("GET / [2001:db8::1] 127.0.0.1"));
    client.send("GET http://h?a=http://x/ HTTP/1.1\r\nHost: h\r\n\r\n");
    CHECK(client.read_answer().ends_with("GET /?a=http://x/ h 127.0.0.1"));
  }
  SUBCASE("empty lines before a request are passed by") {
    client.send("\r\n\r\n" + get("/a"));
    CHECK(has(client.read_answer(), "GET /a h"));
    client.send("\r");
    client.send("\n" + get("/b"));
    CHECK(has(client.read_answer(), "GET /b h"));
  }
  SUBCASE("a request that comes in octet by octet is the same request") {
    for (const char octet : get("/a")) client.send(std::string(1, octet));
    CHECK(has(client.read_answer(), "GET /a h"));
  }
  SUBCASE("HEAD of what is refused gets the status, the length and no body") {
    client.send("HEAD / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx");
    const std::string answer = client.read_all();
    CHECK(answer.starts_with("HTTP/1.1 413 "));
    CHECK_FALSE(has(answer, "\r\nContent-Length: 0\r\n"));
    CHECK(answer.ends_with("\r\n\r\n"));
  }
  SUBCASE("HEAD gets the length of the body and no body") {
    client.send("HEAD /abc HTTP/1.1\r\nHost: h\r\n\r\n" + get("/next"));
    const std::string answer = client.read_answer(false);
    CHECK(has(answer, "\r\nContent-Length: " + std::to_string(std::string("HEAD /abc h 127.0.0.1").size())));
    CHECK(client.read_answer().starts_with("HTTP/1.1 200 OK\r\n"));
  }
}

TEST_CASE("a connection serves one request, whatever its client asks for") {
  Server server(public_port(), echo);
  RawClient client(server.port());
  client.send("GET /a HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\n\r\n" + get("/b"));
  const std::string answer = client.read_all();
  CHECK(has(answer, "\r\nConnection: close\r\n"));
  CHECK(has(answer, "GET /a"));
  CHECK_FALSE(has(answer, "GET /b"));
}

TEST_CASE("a front end's connection serves several requests") {
  Server server(loopback(), echo);
  RawClient client(server.port());

  SUBCASE("one after the other") {
    for (const char* target : {"/1", "/2", "/3"}) {
      client.send(get(target));
      CHECK(has(client.read_answer(), std::string("GET ") + target));
    }
  }
  SUBCASE("pipelined, answered in order, though the last one is still incomplete") {
    const std::string last = get("/c");
    client.send(get("/a") + get("/b") + last.substr(0, 7));
    CHECK(has(client.read_answer(), "GET /a"));
    CHECK(has(client.read_answer(), "GET /b"));
    client.send(last.substr(7));
    CHECK(has(client.read_answer(), "GET /c"));
  }
  SUBCASE("pipelined by the hundred, more than the buffer holds") {
    std::string requests;
    for (int number = 0; number < 500; ++number) requests += get("/" + std::to_string(number));
    client.send(requests);
    for (int number = 0; number < 500; ++number)
      REQUIRE(has(client.read_answer(), "GET /" + std::to_string(number) + " "));
  }
  SUBCASE("until the client asks for the end") {
    client.send(get("/a", "Connection: close\r\n"));
    const std::string answer = client.read_all();
    CHECK(has(answer, "\r\nConnection: close\r\n"));
    CHECK(has(answer, "GET /a"));
  }
  SUBCASE("unless it speaks HTTP/1.0") {
    client.send("GET /a HTTP/1.0\r\n\r\n");
    CHECK(has(client.read_all(), "GET /a"));
  }
}

TEST_CASE("the server refuses what it does not serve") {
  std::atomic<int> handled{0};
  Server server(loopback(), [&](const ServerRequest&) {
    ++handled;
    return ServerResponse{};
  });
  RawClient client(server.port());

  SUBCASE("other methods get 405 with Allow, and the connection goes on") {
    for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS", "BREW"}) {
      client.send(std::string(method) + " / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
      const std::string answer = client.read_answer();
      CHECK(answer.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"));
      CHECK(has(answer, "\r\nAllow: GET, HEAD\r\n"));
    }
  }
  SUBCASE("a POST with a body gets 405 and the connection is closed") {
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nGET /");
    const std::string answer = client.read_all();
    CHECK(answer.starts_with("HTTP/1.1 405 "));
    CHECK(has(answer, "\r\nConnection: close\r\n"));
  }
  SUBCASE("a GET with a body gets 413, and the body is never taken for a request") {
    const std::string inner = get("/inner");
    client.send("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(inner.size()) + "\r\n\r\n" +
                inner);
    const std::string answer = client.read_all();
    CHECK(answer.starts_with("HTTP/1.1 413 "));
    CHECK(answer.find("HTTP/1.1", 1) == std::string::npos);
  }
  SUBCASE("a chunked body gets 413 too") {
    client.send("GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    CHECK(client.read_all().starts_with("HTTP/1.1 413 "));
  }
  SUBCASE(
      "an encoding that is not exactly `chunked` gets 400, and what follows is never taken for a request") {
    for (const char* encoding :
         {"Transfer-Encoding: xchunked", "Transfer-Encoding: gzip, chunked",
          "Transfer-Encoding: chunked, chunked", "Transfer-Encoding: identity", "Transfer-Encoding:",
          "Transfer-Encoding: \"chunked\"", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
          "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked", "Transfer-Encoding : chunked",
          "Transfer-Encoding: chunked\r\nContent-Length: 5",
          "Content-Length: 5\r\nTransfer-Encoding: chunked",
          "Content-Length: 5\r\nTransfer-Encoding: xchunked"}) {
      for (const char* method : {"GET", "HEAD", "POST"}) {
        CAPTURE(encoding);
        CAPTURE(method);
        RawClient one(server.port());
        one.send(std::string(method) + " / HTTP/1.1\r\nHost: h\r\n" + encoding + "\r\n\r\n0\r\n\r\n" +
                 get("/inner"));
        const std::string answer = one.read_all();
        CHECK(answer.starts_with("HTTP/1.1 400 "));
        CHECK(has(answer, "\r\nConnection: close\r\n"));
        CHECK(answer.find("HTTP/1.1", 1) == std::string::npos);
      }
    }
  }
  SUBCASE("any encoding in HTTP/1.0 gets 400") {
    client.send("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    CHECK(client.read_all().starts_with("HTTP/1.1 400 "));
  }
  SUBCASE("a length that is no number, or more than one, gets 400 and the connection is closed") {
    for (const char* length : {"Content-Length: -1", "Content-Length: +0", "Content-Length: 0x0",
                               "Content-Length:", "Content-Length: 99999999999999999999999",
                               "Content-Length: 0 0", "Content-Length: 0\r\nContent-Length: 40",
                               "Content-Length: 0\r\nContent-Length: 0", "Content-Length: 0, 0"}) {
      CAPTURE(length);
      RawClient one(server.port());
      one.send(get("/", std::string(length) + "\r\n") + get("/inner"));
      const std::string answer = one.read_all();
      CHECK(answer.starts_with("HTTP/1.1 400 "));
      CHECK(answer.find("HTTP/1.1", 1) == std::string::npos);
    }
  }
  SUBCASE("a line that does not end in CRLF, a NUL, and a blank before the colon get 400") {
    for (const std::string& request : {std::string("GET / HTTP/1.1\nHost: h\n\n\r\n\r\n"),
                                       std::string("GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n"),
                                       std::string("GET / HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n"),
                                       "GET / HTTP/1.1\r\nHost: h\r\nX: " + std::string(1, '\0') + "\r\n\r\n",
                                       std::string("GET / HTTP/1.1\r\nHost : h\r\n\r\n"),
                                       std::string("GET  / HTTP/1.1\r\nHost: h\r\n\r\n"),
                                       std::string("GET / HTTP/1.1\r\n Host: h\r\n\r\n")}) {
      CAPTURE(request);
      RawClient one(server.port());
      one.send(request);
      CHECK(one.read_all().starts_with("HTTP/1.1 400 "));
    }
  }
  SUBCASE("HTTP/0.9 and HTTP/2 get 400") {
    client.send("GET /\r\n\r\n");
    CHECK(client.read_all().starts_with("HTTP/1.1 400 "));
    RawClient second(server.port());
    second.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    CHECK(second.read_all().starts_with("HTTP/1.1 400 "));
  }
  SUBCASE("headers beyond the limit get 431") {
    client.send("GET / HTTP/1.1\r\nHost: h\r\nX: " + std::string(100'000, 'x') + "\r\n\r\n");
    CHECK(client.read_all().starts_with("HTTP/1.1 431 "));
  }
  SUBCASE("a request line beyond the limit gets 431") {
    client.send(get("/" + std::string(100'000, 'x')));
    CHECK(client.read_all().starts_with("HTTP/1.1 431 "));
  }
  SUBCASE("garbage gets 400") {
    client.send(std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 15));
    CHECK(client.read_all().starts_with("HTTP/1.1 400 Bad Request\r\n"));
  }
  SUBCASE("a request without Host, or with two, gets 400") {
    client.send("GET / HTTP/1.1\r\n\r\n");
    CHECK(client.read_all().starts_with("HTTP/1.1 400 "));
    RawClient second(server.port());
    second.send(get("/", "Host: other\r\n"));
    CHECK(second.read_all().starts_with("HTTP/1.1 400 "));
    RawClient old(server.port());
    old.send("GET / HTTP/1.0\r\nHost: h\r\nHost: other\r\n\r\n");
    CHECK(old.read_all().starts_with("HTTP/1.1 400 "));
  }
  SUBCASE("a Host that is no host gets 400") {
    for (const char* host :
         {"a b", "a/b", "user@h", "h:80x", "[::1", "[::1]x", "[example]", "[127.0.0.1", "a\x80"}) {
      CAPTURE(host);
      RawClient one(server.port());
      one.send("GET / HTTP/1.1\r\nHost: " + std::string(host) + "\r\n\r\n");
      CHECK(one.read_all().starts_with("HTTP/1.1 400 "));
    }
  }
  SUBCASE("a target that is neither a path nor an absolute URI gets 400") {
    for (const char* target :
         {"*", "x", "h:80", "ftp://h/", "http://", "http:///x", "http://user@h/", "http://a b/"}) {
      CAPTURE(target);
      RawClient one(server.port());
      one.send(get(target));
      CHECK(one.read_all().starts_with("HTTP/1.1 400 "));
    }
  }
  CHECK(handled == 0);
}

TEST_CASE("a handler that throws becomes a 500, and the server goes on") {
  Server server(loopback(), [](const ServerRequest& request) -> ServerResponse {
    if (request.target == "/standard") throw std::runtime_error("secret detail");
    if (request.target == "/other") throw 42;
    return {.body = "fine"};
  });
  RawClient client(server.port());
  for (const char* target : {"/standard", "/other"}) {
    client.send(get(target));
    const std::string answer = client.read_answer();
    CHECK(answer.starts_with("HTTP/1.1 500 Internal Server Error\r\n"));
    CHECK_FALSE(has(answer, "secret detail"));
  }
  client.send(get("/"));
  CHECK(client.read_answer().ends_with("fine"));
}

TEST_CASE("slow clients are bounded in time") {
  ServerOptions options = loopback();
  options.request_deadline = 300ms;
  options.idle_timeout = 20s;
  const Clock::time_point start = Clock::now();

  SUBCASE("a request that drips in is cut off at the deadline for the whole of it") {
    Server server(options, echo);
    RawClient client(server.port());
    client.send("GET / HTTP/1.1\r\nX: ");
    while (client.send("x") && Clock::now() - start < 10s) std::this_thread::sleep_for(10ms);
  }
  SUBCASE("a client that never says anything is cut off as well") {
    Server server(options, echo);
    RawClient client(server.port());
    CHECK(client.read_all().empty());
  }
  SUBCASE("the second request of a connection has the same deadline") {
    Server server(options, echo);
    RawClient client(server.port());
    client.send(get("/") + "GET ");
    CHECK(client.read_answer().starts_with("HTTP/1.1 200 "));
    CHECK(client.read_all().empty());
  }
  SUBCASE("an idle connection is closed after the idle timeout") {
    options.request_deadline = 20s;
    options.idle_timeout = 300ms;
    Server server(options, echo);
    RawClient client(server.port());
    client.send(get("/"));
    CHECK(client.read_answer().starts_with("HTTP/1.1 200 "));
    CHECK(client.read_all().empty());
  }
  const Clock::duration taken = Clock::now() - start;
  CHECK(taken >= 250ms);
  CHECK(taken < 5s);
}

TEST_CASE("where places run out, the connection that has been idle for longest gives way") {
  ServerOptions options = loopback();
  options.max_connections = 3;
  Server server(options, echo);
  const auto ask = [](RawClient& client, const char* target) {
    client.send(get(target));
    return has(client.read_answer(), std::string("GET ") + target);
  };
  RawClient first(server.port());
  RawClient second(server.port());
  RawClient third(server.port());
  CHECK(ask(first, "/1"));
  CHECK(ask(second, "/2"));
  CHECK(ask(third, "/3"));
  CHECK(ask(first, "/4"));
  RawClient fourth(server.port());
  CHECK(ask(fourth, "/5"));
  CHECK(second.read_all().empty());
  CHECK(ask(first, "/6"));
  CHECK(ask(third, "/7"));
}

TEST_CASE("a request under way does not give way") {
  Gate gate;
  std::latch entered(1);
  ServerOptions options = public_port();
  options.max_connections = 1;
  Server server(options, [&](const ServerRequest&) {
    entered.count_down();
    gate.pass();
    return ServerResponse{};
  });
  RawClient served(server.port());
  served.send(get("/"));
  entered.wait();
  RawClient late(server.port(), "127.0.0.2");
  CHECK(late.read_all().empty());
  gate.open();
  CHECK(served.read_answer().starts_with("HTTP/1.1 200 "));
}

TEST_CASE(
    "one address has its share of the connections; others have theirs, and a front end has none to keep to") {
  ServerOptions options = public_port();
  options.max_per_peer = 2;
  options.front_ends = {csrq::Network::parse("127.0.0.3").value()};
  Server server(options, echo);
  const auto answers = [](RawClient& client) {
    client.send(get("/"));
    return client.read_answer().starts_with("HTTP/1.1 200 ");
  };
  RawClient first(server.port());
  RawClient second(server.port());
  RawClient third(server.port());
  CHECK(third.read_all().empty());
  RawClient other(server.port(), "127.0.0.2");
  CHECK(answers(other));
  std::vector<std::unique_ptr<RawClient>> front_end;
  front_end.reserve(20);
  for (int connection = 0; connection < 20; ++connection)
    front_end.push_back(std::make_unique<RawClient>(server.port(), "127.0.0.3"));
  for (const auto& connection : front_end) CHECK(answers(*connection));
  CHECK(answers(first));
  CHECK(answers(second));
}

TEST_CASE("whoever asks for much keeps nobody else waiting") {
  Gate gate;
  std::latch entered(1);
  std::mutex mutex;
  std::vector<std::string> order;
  ServerOptions options = public_port();
  options.handler_threads = 1;
  Server server(options, [&](const ServerRequest& request) {
    entered.count_down();
    gate.pass();
    const std::lock_guard lock(mutex);
    order.push_back(request.remote);
    return ServerResponse{};
  });
  std::vector<std::unique_ptr<RawClient>> greedy;
  for (int connection = 0; connection < 40; ++connection) {
    greedy.push_back(std::make_unique<RawClient>(server.port()));
    greedy.back()->send(get("/"));
    if (connection == 0) entered.wait();
  }
  RawClient ca(server.port(), "127.0.0.2");
  ca.send(get("/"));
  // What came in before this is waiting for the handler by now.
  RawClient(server.port(), "127.0.0.4").send("BREW / HTTP/1.1\r\nHost: h\r\n\r\n");
  RawClient last(server.port(), "127.0.0.4");
  last.send("BREW / HTTP/1.1\r\nHost: h\r\n\r\n");
  last.read_answer();
  gate.open();
  CHECK(ca.read_answer().starts_with("HTTP/1.1 200 "));
  const std::lock_guard lock(mutex);
  const auto turn = std::ranges::find(order, "127.0.0.2") - order.begin();
  CHECK(turn <= 2);
}

TEST_CASE("where file descriptors run out, the connection that has been idle for longest gives way, too") {
  Server server(public_port(), echo);
  RawClient idle(server.port());
  RawClient asked(server.port());
  asked.send(get("/"));
  asked.read_answer();  // so `idle` has been accepted, too

  std::optional<OneDescriptorLeft> shortage(std::in_place);
  RawClient late(server.port());  // takes the last descriptor: the server finds none
  late.send(get("/late"));
  const std::string answer = late.read_answer();
  shortage.reset();
  CHECK(has(answer, "GET /late"));
  CHECK(idle.read_all().empty());
}

TEST_CASE("a server without free file descriptors recovers as soon as there are some") {
  Server server(public_port(), echo);
  std::optional<OneDescriptorLeft> shortage(std::in_place);
  RawClient late(server.port());
  late.send(get("/late"));
  shortage.reset();
  CHECK(has(late.read_answer(), "GET /late"));
}

TEST_CASE("stopping a server") {
  Gate gate;
  std::latch entered(1);
  std::atomic<bool> handler_finished{false};
  auto server = std::make_unique<Server>(loopback(), [&](const ServerRequest& request) {
    if (request.target == "/slow") {
      entered.count_down();
      gate.pass();
      handler_finished = true;
    }
    return ServerResponse{};
  });
  RawClient idle(server->port());
  RawClient half(server->port());
  half.send("GET / HT");

  SUBCASE("closes every connection") {
    server.reset();
    CHECK(idle.read_all().empty());
    CHECK(half.read_all().empty());
  }
  SUBCASE("waits for a running handler") {
    RawClient slow(server->port());
    slow.send(get("/slow"));
    entered.wait();
    std::jthread stop([&] { server.reset(); });
    gate.open();
    stop.join();
    CHECK(handler_finished);
  }
}

TEST_CASE("addresses to listen on") {
  SUBCASE("all addresses: IPv4 clients reach the dual-stack socket, and their address is shown as IPv4") {
    for (const char* listen : {":0", "[::]:0"}) {
      Server server({.listen = listen}, echo);
      RawClient client(server.port());
      client.send(get("/"));
      CHECK(client.read_answer().ends_with(" 127.0.0.1"));
    }
  }
  SUBCASE("the address tells the port really used") {
    Server server(loopback(), echo);
    CHECK(server.address() == "127.0.0.1:" + std::to_string(server.port()));
    CHECK(server.port() > 0);
  }
  SUBCASE("a port in use is refused with address, cause and remedy") {
    Server server(loopback(), echo);
    const std::string message =
        "cannot listen on " + server.address() +
        ": Address already in use; another process listens there: stop it or take another port";
    CHECK_THROWS_WITH_AS(Server({.listen = server.address()}, echo), message.c_str(), UsageError);
  }
  SUBCASE("anything that is no address and port is refused") {
    for (const char* listen : {"", "80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:80x",
                               "127.0.0.1:65536", "localhost:80"}) {
      CAPTURE(listen);
      CHECK_THROWS_AS(Server({.listen = listen}, echo), UsageError);
    }
  }
}

TEST_CASE("the client sends a request and returns the whole answer") {
  Server server(loopback(), [](const ServerRequest& request) {
    return ServerResponse{
        .status = 404, .content_type = "Application/JSON; charset=utf-8", .body = request.target};
  });
  Client client(plain());

  SUBCASE("whatever its status") {
    const Response response = client.send({.url = url_of(server, "/x?y")});
    CHECK(response.status == 404);
    CHECK(response.body == "/x?y");
    CHECK(response.header("content-length") == "4");
    CHECK(response.header("absent").empty());
    CHECK(response.media_type() == "application/json");
  }
  SUBCASE("HEAD has no body") {
    const Response response = client.send({.method = "HEAD", .url = url_of(server, "/abc")});
    CHECK(response.status == 404);
    CHECK(response.body.empty());
    CHECK(response.header("content-length") == "4");
  }
  SUBCASE("POST, and any other method with a body") {
    CHECK(client.send({.method = "POST", .url = url_of(server), .body = "{}"}).status == 405);
    CHECK(client.send({.method = "POST", .url = url_of(server)}).status == 405);
    CHECK(client.send({.method = "PATCH", .url = url_of(server), .body = "{}"}).status == 405);
    CHECK(client.send({.method = "DELETE", .url = url_of(server)}).status == 405);
  }
  SUBCASE("a handle is used again without anything left over of the request before") {
    client.send({.method = "POST", .url = url_of(server), .headers = {{"X-Old", "1"}}, .body = "{}"});
    CHECK(client.send({.url = url_of(server, "/get")}).body == "/get");
    CHECK(client.send({.method = "HEAD", .url = url_of(server)}).body.empty());
    CHECK(client.send({.url = url_of(server, "/get")}).body == "/get");
  }
}

TEST_CASE("what the client puts on the wire") {
  SilentListener listener;
  std::string head;
  const auto send = [&](const Request& request) {
    std::jthread answerer(
        [&] { head = listener.answer_once("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"); });
    Client client(plain());
    client.send(request);
  };

  SUBCASE("method, headers and the User-Agent, and nothing of libcurl's own making") {
    send({.method = "POST",
          .url = listener.url(),
          .headers = {{"Content-Type", "application/jose+json"}},
          .body = "{}"});
    CHECK(head == "POST / HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(listener.port()) +
                      "\r\nUser-Agent: " + user_agent() +
                      "\r\nAccept: */*\r\nContent-Type: application/jose+json\r\nContent-Length: 2\r\n\r\n");
    CHECK(user_agent() == "csrq/" CSRQ_VERSION);
  }
  SUBCASE("a body without a type is not called a form") {
    send({.method = "POST", .url = listener.url(), .body = "{}"});
    CHECK_FALSE(has(head, "Content-Type"));
  }
  SUBCASE("an empty header value stays a header") {
    send({.url = listener.url(), .headers = {{"X-Empty", ""}}});
    CHECK(has(head, "\r\nX-Empty:\r\n"));
  }
  SUBCASE("a line break in a header is never sent") {
    Client client(plain());
    CHECK_THROWS_AS(client.send({.url = listener.url(), .headers = {{"X", "a\r\nY: b"}}}),
                    std::invalid_argument);
  }
}

TEST_CASE("the client reads the headers of the final answer only") {
  SilentListener listener;
  Client client(plain());
  const auto answer = [&](std::string_view text) {
    std::jthread answerer([&, text] { listener.answer_once(text); });
    return client.send({.url = listener.url()});
  };

  SUBCASE("names in lower case, several of one name, folded lines, none of an interim answer or a trailer") {
    const Response response = answer(
        "HTTP/1.1 103 Early Hints\r\nLink: <early>\r\n\r\n"
        "HTTP/1.1 200 OK\r\nLINK: <a>\r\nX:  padded \t\r\nLink: <b>\r\nFolded: one\r\n  two\r\n"
        "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nReplay-Nonce: trailer\r\n\r\n");
    CHECK(response.body == "ok");
    CHECK(response.headers_named("link") == std::vector<std::string>{"<a>", "<b>"});
    CHECK(response.header("link") == "<a>");
    CHECK(response.header("x") == "padded");
    CHECK(response.header("folded") == "one two");
    CHECK(response.header("replay-nonce").empty());
  }
  SUBCASE("a redirect is an answer and is not followed") {
    const Response response =
        answer("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/elsewhere\r\nContent-Length: 0\r\n\r\n");
    CHECK(response.status == 302);
    CHECK(response.header("location") == "http://127.0.0.1:1/elsewhere");
  }
  SUBCASE("a body cut short is no answer") {
    std::jthread answerer([&] { listener.answer_once("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"); });
    const csrq::Failure failure = failure_of(client, {.url = listener.url()});
    CHECK(failure.failure_class == FailureClass::transient);
    CHECK(failure.code == "connection");
  }
}

TEST_CASE("the client bounds what it takes in") {
  ClientOptions options = plain();
  options.max_body = 1000;
  options.max_headers = 2000;
  Client client(options);

  SUBCASE("a body of the very limit passes, one octet more does not") {
    Server server(loopback(), [](const ServerRequest& request) {
      return ServerResponse{.body = std::string(std::stoul(request.target.substr(1)), 'x')};
    });
    CHECK(client.send({.url = url_of(server, "/1000")}).body.size() == 1000);
    for (const char* size : {"/1001", "/5000000"}) {
      const csrq::Failure failure = failure_of(client, {.url = url_of(server, size)});
      CHECK(failure.failure_class == FailureClass::transient);
      CHECK(failure.code == "oversize");
      CHECK(has(failure.detail, server.address()));
    }
    CHECK(client.send({.url = url_of(server, "/10")}).body.size() == 10);
  }
  SUBCASE("headers beyond the limit") {
    SilentListener listener;
    const std::string field = "X: " + std::string(1000, 'x') + "\r\n";
    std::jthread answerer([&] { listener.answer_once("HTTP/1.1 200 OK\r\n" + field + field + "\r\n"); });
    CHECK(failure_of(client, {.url = listener.url()}).code == "oversize");
  }
  SUBCASE("a body without a length") {
    SilentListener listener;
    std::jthread answerer([&] {
      listener.answer_once("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + std::string(100'000, 'x'));
    });
    CHECK(failure_of(client, {.url = listener.url()}).code == "oversize");
  }
}

TEST_CASE("where only the head counts, an answer's body is neither read nor waited for") {
  ClientOptions options = plain();
  options.max_body = 10;
  options.head_only = true;
  options.total_timeout = 500ms;
  Client client(options);
  SUBCASE("larger than allowed") {
    Server server(loopback(), [](const ServerRequest&) {
      return ServerResponse{.status = 202, .body = std::string(100'000, 'x')};
    });
    for (int request = 0; request < 3; ++request) {
      const Response response = client.send({.url = url_of(server, "/")});
      CHECK(response.status == 202);
      CHECK(response.body.empty());
    }
  }
  SUBCASE("never sent") {
    SilentListener listener;
    std::jthread answerer(
        [&] { listener.answer_once("HTTP/1.1 202 Accepted\r\nContent-Length: 10\r\n\r\n"); });
    CHECK(client.send({.url = listener.url()}).status == 202);
  }
  SUBCASE("but an interim answer is no head") {
    SilentListener listener;
    std::jthread answerer([&] { listener.answer_once("HTTP/1.1 103 Early Hints\r\n\r\n"); });
    CHECK_THROWS_AS(client.send({.url = listener.url()}), csrq::Error);
  }
}

TEST_CASE("the client tells why there is no answer") {
  SilentListener listener;

  SUBCASE("connection refused") {
    Client client(plain());
    listener.close();
    const csrq::Failure failure = failure_of(client, {.url = listener.url()});
    CHECK(failure.failure_class == FailureClass::transient);
    CHECK(failure.code == "connection");
    CHECK(has(failure.detail, "127.0.0.1:" + std::to_string(listener.port())));
    CHECK(has(failure.detail, "Connection refused"));
    CHECK(client.statistics().failures == 1);
  }
  SUBCASE("no answer in time, and the path is not told") {
    ClientOptions options = plain();
    options.total_timeout = 200ms;
    Client client(options);
    const csrq::Failure failure = failure_of(client, {.url = listener.url() + "secret-token"});
    CHECK(failure.code == "timeout");
    CHECK_FALSE(has(failure.detail, "secret-token"));
  }
  SUBCASE("requests that wait for a connection run out of time as well") {
    ClientOptions options = plain();
    options.total_timeout = 300ms;
    options.connections = 1;
    Client client(options);
    const Clock::time_point start = Clock::now();
    std::atomic<int> timeouts{0};
    {
      std::vector<std::jthread> senders;
      senders.reserve(5);
      for (int index = 0; index < 5; ++index)
        senders.emplace_back([&] {
          if (failure_of(client, {.url = listener.url()}).code == "timeout") ++timeouts;
        });
    }
    CHECK(timeouts == 5);
    CHECK(Clock::now() - start < 1s);
  }
  SUBCASE("no TLS on the other side") {
    Server server(loopback(), echo);
    Client client(plain());
    const csrq::Failure failure = failure_of(client, {.url = "https://" + server.address() + "/"});
    CHECK(failure.failure_class == FailureClass::transient);
    CHECK(failure.code == "tls");
  }
  SUBCASE("http without plain_http, another scheme, user information, no URL at all") {
    Client strict(ClientOptions{});
    CHECK(has(failure_of(strict, {.url = listener.url()}).detail, "only https is allowed"));
    CHECK(has(failure_of(strict, {.url = "file:///etc/passwd"}).detail, "only https is allowed"));
    CHECK(has(failure_of(strict, {.url = "https://user:secret@127.0.0.1/"}).detail, "user name"));
    CHECK(failure_of(strict, {.url = "nonsense url"}).code == "connection");
    CHECK(failure_of(strict, {.url = ""}).code == "connection");
  }
}

TEST_CASE("many threads share few connections") {
  Server server(loopback(), echo);
  ClientOptions options = plain();
  options.connections = 3;
  Client client(options);
  CHECK(send_from_threads(client, url_of(server), 32, 20) == 640);
  const ClientStatistics statistics = client.statistics();
  CHECK(statistics.requests == 640);
  CHECK(statistics.failures == 0);
  CHECK(statistics.connections >= 1);
  CHECK(statistics.connections <= 3);
}

TEST_CASE("one slow answer holds back nobody else") {
  Gate gate;
  Server server(loopback(), [&](const ServerRequest& request) {
    if (request.target == "/slow") gate.pass();
    return ServerResponse{};
  });
  Client client(plain());
  std::jthread slow([&] { CHECK(client.send({.url = url_of(server, "/slow")}).status == 200); });
  CHECK(send_from_threads(client, url_of(server), 8, 10) == 80);
  gate.open();
}

TEST_CASE("a client that goes away ends the requests under way") {
  SilentListener listener;
  auto client = std::make_unique<Client>(plain());
  std::atomic<int> ended{0};
  std::vector<std::jthread> senders;
  senders.reserve(8);
  for (int index = 0; index < 8; ++index)
    senders.emplace_back([&, sender = client.get()] {
      if (failure_of(*sender, {.url = listener.url()}).code == "connection") ++ended;
    });
  while (client->statistics().requests < 8) std::this_thread::yield();
  const Clock::time_point start = Clock::now();
  client.reset();
  senders.clear();
  CHECK(ended == 8);
  CHECK(Clock::now() - start < 5s);
}

TEST_CASE("ca_file must hold certificates") {
  const std::filesystem::path file =
      std::filesystem::temp_directory_path() / ("csrq-http-test-" + std::to_string(::getpid()) + ".pem");
  CHECK_THROWS_AS(Client({.ca_file = file.string()}), UsageError);
  std::ofstream(file) << "no certificate\n";
  CHECK_THROWS_AS(Client({.ca_file = file.string()}), UsageError);
  std::filesystem::remove(file);
}
