#pragma once

#include <doctest/doctest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>

#include "accounts/accounts.hpp"
#include "cas/ca_pool.hpp"
#include "crypto/sealed_key.hpp"
#include "db/store_fixture.hpp"
#include "embedded/pebble.hpp"
#include "support/acme_stub.hpp"
#include "support/pebble_gate.hpp"
#include "support/test_csr.hpp"
#include "workers/issuer.hpp"
#include "workers/responder.hpp"

namespace csrq {
struct CaConfig;
struct Config;
}  // namespace csrq

namespace csrq::test {

/// All that one worker process has.
class TestWorker {
 public:
  TestWorker(const Config& config, const accounts::Keyring& keyring);

  /// One batch, as `csrq run --limit` does it.
  workers::Tally run(std::int64_t limit = 10'000, workers::IssuerObserver observer = {});
  /// Works until a request is held, and ends with the step that it belongs to: what was being waited for is
  /// given back, and due at once.
  void work_until(Hold& hold);

  const Config& config;
  store::Database database;
  store::Database coordination;
  cas::CaPool cas;
  accounts::Accounts accounts;
};

/// A batch that runs while the test looks on.
class RunningBatch {
 public:
  explicit RunningBatch(std::function<workers::Tally()> batch);
  ~RunningBatch();        ///< waits for its end
  workers::Tally wait();  ///< rethrows what the batch threw

 private:
  workers::Tally tally_{};
  std::exception_ptr failure_{};
  std::thread thread_;
};

/// A row of csrq.request as an app reads it.
struct Row {
  std::string status{};
  std::string chain{};
  std::string serial{};
  std::vector<std::string> names{};
  nlohmann::json error{};  ///< null: none
  std::string code() const { return error.is_object() ? error.value("code", "") : ""; }
  std::string failure_class() const { return error.is_object() ? error.value("class", "") : ""; }
  std::string detail() const { return error.is_object() ? error.value("detail", "") : ""; }
};

/// A fresh database, a configuration with one CA, and a worker.
class Issuing {
 public:
  Issuing(const std::string& directory_url, const std::string& ca_file);
  ~Issuing();

  TestDatabase test{};

 private:
  const std::unique_ptr<Config> config_;

 public:
  Config& config;  ///< to be changed before the first worker is made (config/config.hpp)
  accounts::Keyring keyring;
  Sql sql{test.url()};
  store::Database database{{.url = test.url()}};  ///< of the owner: may do what a worker may not

  CaConfig& ca_config();
  TestWorker& worker();  ///< made when first asked for
  workers::Tally run(std::int64_t limit = 10'000) { return worker().run(limit); }
  RunningBatch start_run() {
    worker();
    return RunningBatch([this] { return run(); });
  }

  /// Test CSRs share a key: these order a certificate of their own all the same.
  store::RequestId submit(const std::vector<std::string>& names, const std::string& customer = "acme");
  store::RequestId submit_csr(const CsrRecipe& recipe, const std::string& customer = "acme");
  store::RequestId submit_row(store::Submission submission);
  /// Makes a row that waits due at once; nothing is forgotten.
  void make_due(store::RequestId id);

  Row row(store::RequestId id);
  std::string job(store::RequestId id, const std::string& column);
  /// Seconds until the row's job is due.
  double due_in(store::RequestId id);
  std::string count(const std::string& what) { return sql.value("SELECT count(*) FROM csrq." + what); }

 private:
  std::optional<TestWorker> worker_{};
};

struct StubHolder {
  explicit StubHolder(StubOptions options = {}) : stub(std::move(options)) {}
  AcmeStub stub;
};

/// With the stub as its CA. Whatever the stub has to complain of fails the test.
struct StubIssuing : StubHolder, Issuing {
  explicit StubIssuing(StubOptions options = {})
      : StubHolder(std::move(options)), Issuing(stub.directory_url(), stub.ca_file()) {}
  ~StubIssuing() {
    for (const std::string& complaint : stub.complaints()) CHECK_MESSAGE(complaint.empty(), complaint);
  }
  StubIssuing(const StubIssuing&) = delete;
  StubIssuing& operator=(const StubIssuing&) = delete;

  /// "" if the chain verifies up to a root of the stub and its first certificate has these names.
  std::string chain_error(const std::string& chain, const std::vector<std::string>& names,
                          int root = 0) const;
};

/// A Pebble behind a gate.
struct PebbleHolder {
  explicit PebbleHolder(embedded::PebbleOptions wanted);
  embedded::PebbleOptions options;  ///< folder and port filled in
  embedded::Pebble pebble;
  PebbleGate gate{pebble};
};

/// With a gated Pebble as its CA. The responder answers from the database where Pebble looks, unless Pebble
/// validates nothing.
struct PebbleIssuing : PebbleHolder, Issuing {
  explicit PebbleIssuing(embedded::PebbleOptions wanted = {});
  std::optional<workers::Responder> responder{};
};

/// "" if every certificate of `chain` (PEM) leads to `root` (PEM), the first one being a TLS server's.
std::string verification_error(const std::string& chain, const std::string& root);

}  // namespace csrq::test
