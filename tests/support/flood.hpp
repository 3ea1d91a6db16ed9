#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stop_token>
#include <string_view>
#include <thread>
#include <vector>

#include "base/time.hpp"

namespace csrq::test {

enum class FloodKind {
  idle,         ///< connects and says nothing
  octets,       ///< sends an octet of a request now and then
  keep_alive,   ///< sends a request, wants to keep the connection, and sends another one now and then
  half_closed,  ///< sends half a request and ends its half of the connection
  tls,          ///< sends what begins a TLS connection
  headers,      ///< sends a header without an end, as much as the server takes
  tokens,       ///< asks for a token that nobody has, again and again
};
inline const std::vector<FloodKind> all_flood_kinds{
    FloodKind::idle, FloodKind::octets,  FloodKind::keep_alive, FloodKind::half_closed,
    FloodKind::tls,  FloodKind::headers, FloodKind::tokens};
std::string_view to_string(FloodKind kind);

struct FloodOptions {
  int port{};                                     ///< of 127.0.0.1
  std::vector<FloodKind> kinds{all_flood_kinds};  ///< one after the other
  std::size_t connections{};
  std::size_t addresses{1};         ///< that they come from: 127.9.0.1 and on
  std::size_t opened_per_second{};  ///< 0: as many as this machine can
  Duration opened_again{};          ///< so long after the server has closed one
};

/// Clients that want a server's connections for themselves, on a thread of its own. A connection that the
/// server closes is opened again.
class Flood {
 public:
  explicit Flood(FloodOptions options);
  ~Flood();
  Flood(const Flood&) = delete;
  Flood& operator=(const Flood&) = delete;

  /// Connections that were established, in all.
  std::uint64_t established() const { return established_; }
  /// Connections that the server has not closed.
  std::size_t open() const { return open_; }

 private:
  struct Client;
  class Crowd;
  void run(const std::stop_token& stop);

  const FloodOptions options_;
  std::atomic<std::uint64_t> established_{0};
  std::atomic<std::size_t> open_{0};
  std::jthread thread_{};
};

/// What a CA would see: one request for a token that nobody has, from 127.0.0.1. How long the answer took;
/// nothing if there was none within ten seconds, or not the responder's.
std::optional<Duration> probe(int port);

}  // namespace csrq::test
