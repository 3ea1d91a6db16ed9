#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace csrq::bench {

/// A CA in processes or threads apart from csrq's, that counts what it is asked.
class BenchCa {
 public:
  virtual ~BenchCa() = default;
  virtual std::string directory_url() const = 0;
  virtual std::string ca_file() const = 0;
  virtual std::uint64_t requests() const = 0;
  virtual std::uint64_t connections() const = 0;  ///< TLS connections that csrq opened
};

/// "pebble": validates http-01 at `http_port` of 127.0.0.1; "pebble-always-valid": validates nothing; "stub":
/// ours, validates nothing and takes next to no time. Valid authorizations are always used again. Throws
/// UsageError for any other name.
std::unique_ptr<BenchCa> start_ca(const std::string& name, const std::string& folder, int http_port);

}  // namespace csrq::bench
