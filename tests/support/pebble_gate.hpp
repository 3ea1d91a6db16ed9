#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "base/time.hpp"
#include "embedded/pebble.hpp"

namespace csrq::test {

/// A TLS proxy in front of a Pebble, with the same certificate; URLs in Pebble's answers lead to the gate. It
/// never lets a newOrder and a request for an authorization overlap, which can make Pebble hang for good; it
/// counts, and loses answers when told to. HTTP/1.1 only, 64 connections at once. Where Pebble cannot be
/// reached, it closes the connection without an answer. A request's kind is the first segment of its path:
/// "dir", "nonce-plz", "sign-me-up", "my-account", "order-plz", "my-order", "finalize-order", "authZ",
/// "chalZ", "certZ", "revoke-cert", "rollover-account-key".
class PebbleGate {
 public:
  /// `pebble` must outlive the gate. A request that Pebble does not answer within `patience` gets 504 and
  /// sets frozen().
  explicit PebbleGate(const embedded::Pebble& pebble, Duration patience = std::chrono::seconds(20));
  ~PebbleGate();  ///< closes every connection; waits for requests that are at Pebble
  PebbleGate(const PebbleGate&) = delete;
  PebbleGate& operator=(const PebbleGate&) = delete;

  std::string directory_url() const;
  std::string ca_file() const;

  std::uint64_t requests() const;
  std::uint64_t requests(const std::string& kind) const;
  std::map<std::string, std::uint64_t> requests_by_kind() const;
  /// Requests of that kind that Pebble did not refuse.
  std::uint64_t accepted(const std::string& kind) const;
  std::uint64_t connections() const;  ///< TCP connections that clients opened

  /// Of the requests of that kind from now on, the `number`th (1: the next) is carried out, and its answer
  /// lost.
  void lose_answer(const std::string& kind, int number = 1);

  bool frozen() const;
  /// Whether a gate of this process found its Pebble frozen, and ended without a test that asked for it.
  static bool frozen_unnoticed();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace csrq::test
