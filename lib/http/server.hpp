#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/network.hpp"
#include "base/time.hpp"

namespace csrq::http {

struct ServerRequest {
  std::string method{};
  std::string target{};  ///< path and query, as sent; nothing before them, also where the URI was absolute
  std::string host{};    ///< lower case, without port
  std::string remote{};  ///< peer address
};

struct ServerResponse {
  int status{200};
  std::string content_type{"text/plain; charset=utf-8"};
  std::string body{};
};

/// May block (it runs on a thread of the server's own pool) and may throw (the client gets 500).
using Handler = std::function<ServerResponse(const ServerRequest&)>;

struct ServerOptions {
  std::string listen{};  ///< "address:port", "[::]:port", ":port" (all addresses); port 0: any free one
  std::size_t max_connections{64};    ///< with one more the oldest that has asked for nothing is closed
  std::size_t max_per_peer{64};       ///< of one IPv4 address or IPv6 /64; more are closed at once
  std::vector<Network> front_ends{};  ///< have no such share, and keep-alive, which nobody else has
  std::size_t max_header{8192};       ///< octets of request line and headers; more: 431 and closed
  Duration request_deadline{std::chrono::seconds(10)};  ///< for the whole request, however slowly it drips in
  Duration idle_timeout{std::chrono::seconds(15)};      ///< between requests of one connection
  int handler_threads{4};
};

/// A small HTTP/1.1 server for the http-01 responder and the metrics: GET and HEAD only, no request bodies,
/// one request a connection, every connection bounded in size and time. Handlers take the peers in turn, so a
/// peer that opens many connections, or asks for much, keeps nobody else waiting. Built on Boost.Beast.
class Server {
 public:
  /// Listens before it returns. Throws UsageError naming the address and the cause (in use, not permitted).
  Server(ServerOptions options, Handler handler);
  ~Server();  ///< closes every connection and waits for running handlers
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// "127.0.0.1:5002", with the port really used.
  std::string address() const;
  int port() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace csrq::http
