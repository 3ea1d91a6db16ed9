#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "dns/caa.hpp"

namespace csrq::dns {

/// The CAA records in a DNS message (RFC 1035 §4.1), aliases' included. Throws LookupFailed if it cannot be
/// read.
std::vector<CaaRecord> caa_records(std::string_view message);

/// The system's resolver. Thread-safe.
class Resolver {
 public:
  /// `server`: an IPv4 address with a port, "192.0.2.1:53"; empty: those in /etc/resolv.conf.
  explicit Resolver(std::string server = {}) : server_(std::move(server)) {}

  /// As CaaLookup. Waits for the network: each server is asked twice, 2 seconds at first and 2 to 4 then.
  std::vector<CaaRecord> caa(const std::string& name) const;

 private:
  std::string server_;
};

}  // namespace csrq::dns
