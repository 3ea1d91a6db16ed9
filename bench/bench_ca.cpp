#include "bench/bench_ca.hpp"

#include "base/error.hpp"
#include "embedded/pebble.hpp"
#include "support/acme_stub.hpp"
#include "support/pebble_gate.hpp"

namespace csrq::bench {
namespace {

class GatedPebble : public BenchCa {
 public:
  GatedPebble(const std::string& folder, int http_port, bool always_valid)
      : pebble_({.folder = folder,
                 .http_port = http_port,
                 .always_valid = always_valid,
                 .authorization_reuse_percent = 100}) {}

  std::string directory_url() const override { return gate_.directory_url(); }
  std::string ca_file() const override { return gate_.ca_file(); }
  std::uint64_t requests() const override { return gate_.requests(); }
  std::uint64_t connections() const override { return gate_.connections(); }

 private:
  embedded::Pebble pebble_;
  test::PebbleGate gate_{pebble_};
};

class Stub : public BenchCa {
 public:
  Stub() {
    stub_.change([](test::StubBehaviour& behaviour) {
      behaviour.reuse_authorizations = true;
      behaviour.looks_until_issued = 1;  // as the big CAs, which never answer finalize with the certificate
    });
  }

  std::string directory_url() const override { return stub_.directory_url(); }
  std::string ca_file() const override { return stub_.ca_file(); }
  std::uint64_t requests() const override { return stub_.requests(); }
  std::uint64_t connections() const override { return stub_.connections(); }

 private:
  test::AcmeStub stub_{};
};

}  // namespace

std::unique_ptr<BenchCa> start_ca(const std::string& name, const std::string& folder, int http_port) {
  if (name == "pebble") return std::make_unique<GatedPebble>(folder, http_port, false);
  if (name == "pebble-always-valid") return std::make_unique<GatedPebble>(folder, http_port, true);
  if (name == "stub") return std::make_unique<Stub>();
  throw UsageError("there is no CA \"" + name + "\": pebble, pebble-always-valid, stub");
}

}  // namespace csrq::bench
