#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/network.hpp"
#include "base/time.hpp"

namespace csrq::http {

using Headers = std::vector<std::pair<std::string, std::string>>;  ///< names in lower case

struct Request {
  std::string method{"GET"};
  std::string url{};  ///< https, or http only where ClientOptions::plain_http allows it
  Headers headers{};
  std::string body{};
  Duration timeout{};  ///< for the whole answer, where less than ClientOptions::total_timeout; zero: that
};

struct Response {
  int status{};
  Headers headers{};
  std::string body{};
  /// A kept connection ended before the answer, and the request was sent once more. The server may have
  /// carried out both.
  bool sent_again{};

  /// The first header of that name (lower case); empty if absent.
  std::string_view header(std::string_view name) const;
  std::vector<std::string> headers_named(std::string_view name) const;
  /// Media type without parameters, lower case: "application/json".
  std::string media_type() const;
};

struct ClientOptions {
  std::string ca_file{};  ///< trust anchors beside the system's store
  int connections{4};     ///< TCP connections per host; HTTP/2 streams share them where the server offers it
  Duration connect_timeout{std::chrono::seconds(10)};
  Duration total_timeout{std::chrono::seconds(45)};
  std::size_t max_body{1 << 20};
  std::size_t max_headers{64 << 10};
  bool plain_http{false};  ///< for self-checks of http-01, and to loopback
  bool head_only{false};   ///< an answer is complete with its status and headers; no body is read
  /// For URLs that strangers choose. It is asked before each connection whether this may go to the address
  /// that a name was resolved to. If it is set, no proxy is used, and a name server that does not answer
  /// holds nobody up. Must not throw.
  std::function<bool(const IpOctets&)> may_connect{};
};

struct ClientStatistics {
  std::uint64_t requests{};
  std::uint64_t connections{};  ///< TCP (and TLS) connections opened
  std::uint64_t failures{};     ///< no complete answer
};

/// Sends requests of many threads over few connections: one thread runs libcurl's multi interface, callers
/// wait for their answer. Never follows redirects; certificates are always verified. Thread-safe.
class Client {
 public:
  /// Throws UsageError if `ca_file` cannot be read or holds no certificate.
  explicit Client(ClientOptions options);
  ~Client();  ///< stop(), and waits until all callers have left
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  /// Waits for the whole answer, whatever its status. Throws Error{transient, "connection" | "tls" |
  /// "timeout" | "oversize"} naming host and cause. It is then not known whether the server has carried out
  /// the request.
  Response send(const Request& request);

  /// Ends requests under way and those to come: their callers get Error "connection". Does not wait.
  void stop();

  ClientStatistics statistics() const;

 private:
  struct Loop;
  std::unique_ptr<Loop> loop_;
};

/// "csrq/0.1.0": what every request carries (RFC 8555 §6.1).
std::string user_agent();

}  // namespace csrq::http
