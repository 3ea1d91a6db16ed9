#include "support/issuing_fixture.hpp"

#include <openssl/pem.h>

#include <atomic>

#include "config/config.hpp"
#include "crypto/certificate.hpp"
#include "embedded/ports.hpp"
#include "support/openssl_objects.hpp"

namespace csrq::test {

namespace {

constexpr const char* ca_name = "test";

/// Waits that a CA needs are learned; these tests have no time to wait for that.
void teach_haste(cas::PooledCa& ca) {
  constexpr int lessons = 40;
  for (int i = 0; i < lessons; ++i) {
    const std::string customer = "teacher " + std::to_string(i);
    ca.validation_pace.learn(customer, true);
    ca.issuance_pace.learn(customer, true);
  }
}

Config config_for(const TestDatabase& test, const std::string& directory_url, const std::string& ca_file) {
  Config config;
  config.database.url = test.url();
  config.default_ca = ca_name;
  config.cas[ca_name] = {.name = ca_name,
                         .directory = directory_url,
                         .ca_file = ca_file,
                         .contact = {"mailto:ops@example.net"},
                         .terms_of_service_agreed = true};
  config.worker.threads = 8;
  config.worker.poll = std::chrono::milliseconds(20);
  return config;
}

/// Whatever a worker does has to be granted to csrq_worker.
std::string url_of_worker(const TestDatabase& test, Sql& sql) {
  const std::string login = "worker_of_" + sql.value("SELECT current_database()");
  std::string url = test.url_as(login);
  sql.run("GRANT csrq_worker TO " + login);
  return url;
}

std::vector<std::string> strings_of(const std::string& json) {
  return json.empty() ? std::vector<std::string>{}
                      : nlohmann::json::parse(json).get<std::vector<std::string>>();
}

std::string id_text(store::RequestId id) {
  return std::to_string(store::number(id));
}

std::vector<CertificatePtr> read_pem(const std::string& pem) {
  const BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  std::vector<CertificatePtr> certificates;
  while (X509* one = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) certificates.emplace_back(one);
  return certificates;
}

embedded::PebbleOptions with_folder(embedded::PebbleOptions options) {
  static std::atomic<int> counter{0};
  options.folder = (run_folder() / ("pebble-" + std::to_string(++counter))).string();
  if (!options.always_valid) options.http_port = embedded::free_port();
  return options;
}

}  // namespace

TestWorker::TestWorker(const Config& worker_config, const accounts::Keyring& keyring)
    : config(worker_config),
      database({.url = config.database.url}),
      coordination({.url = config.database.url}),
      cas(config),
      accounts(database, keyring, config.accounts) {
  for (const auto& [name, ca] : config.cas) teach_haste(cas.find(name));
}

workers::Tally TestWorker::run(std::int64_t limit, workers::IssuerObserver observer) {
  return workers::Issuer(config, database, coordination, cas, accounts, std::move(observer)).run(limit);
}

void TestWorker::work_until(Hold& hold) {
  workers::Issuer issuer(config, database, coordination, cas, accounts, {});
  RunningBatch working([&] {
    issuer.work();
    return issuer.tally();
  });
  hold.wait_until_reached();
  issuer.stop();
  hold.release();
  working.wait();
}

RunningBatch::RunningBatch(std::function<workers::Tally()> batch)
    : thread_([this, batch = std::move(batch)] {
        try {
          tally_ = batch();
        } catch (...) {
          failure_ = std::current_exception();
        }
      }) {}

RunningBatch::~RunningBatch() {
  if (thread_.joinable()) thread_.join();
}

workers::Tally RunningBatch::wait() {
  thread_.join();
  if (failure_) std::rethrow_exception(failure_);
  return tally_;
}

Issuing::Issuing(const std::string& directory_url, const std::string& ca_file)
    : config_(std::make_unique<Config>(config_for(test, directory_url, ca_file))),
      config(*config_),
      keyring(crypto::SealingKey(Secret(std::string(32, 'k')))) {
  config.database.url = url_of_worker(test, sql);
}

Issuing::~Issuing() = default;

CaConfig& Issuing::ca_config() {
  return config.cas.at(config.default_ca);
}

TestWorker& Issuing::worker() {
  if (!worker_) worker_.emplace(config, keyring);
  return *worker_;
}

store::RequestId Issuing::submit_row(store::Submission submission) {
  return store::submit(database, {std::move(submission)}).front().id;
}

store::RequestId Issuing::submit_csr(const CsrRecipe& recipe, const std::string& customer) {
  return submit_row(store::Submission{.customer = customer, .csr = csr_pem(recipe), .reuse_chain = false});
}

store::RequestId Issuing::submit(const std::vector<std::string>& names, const std::string& customer) {
  return submit_csr(CsrRecipe{.names = names}, customer);
}

void Issuing::make_due(store::RequestId id) {
  sql.run("UPDATE csrq.job SET run_at = now() - interval '1 second' WHERE request_id = " + id_text(id));
}

Row Issuing::row(store::RequestId id) {
  const auto column = [&](const std::string& name) {
    return sql.value("SELECT " + name + " FROM csrq.request WHERE id = " + id_text(id));
  };
  const std::string error = column("error");
  return {.status = column("status"),
          .chain = column("chain"),
          .serial = column("serial"),
          .names = strings_of(column("to_json(names)")),
          .error = error.empty() ? nlohmann::json() : nlohmann::json::parse(error)};
}

std::string Issuing::job(store::RequestId id, const std::string& column) {
  return sql.value("SELECT " + column + " FROM csrq.job WHERE request_id = " + id_text(id));
}

double Issuing::due_in(store::RequestId id) {
  const std::string seconds = job(id, "extract(epoch FROM run_at - now())");
  return seconds.empty() ? 0 : std::stod(seconds);
}

std::string verification_error(const std::string& chain, const std::string& root) {
  const std::vector<CertificatePtr> certificates = read_pem(chain);
  if (certificates.empty()) return "there is no certificate";
  const Held<X509_STORE, X509_STORE_free> store(X509_STORE_new());
  for (const CertificatePtr& anchor : read_pem(root)) X509_STORE_add_cert(store.get(), anchor.get());
  STACK_OF(X509)* issuers = sk_X509_new_null();
  for (std::size_t i = 1; i < certificates.size(); ++i) sk_X509_push(issuers, certificates[i].get());
  const Held<X509_STORE_CTX, X509_STORE_CTX_free> context(X509_STORE_CTX_new());
  X509_STORE_CTX_init(context.get(), store.get(), certificates.front().get(), issuers);
  X509_STORE_CTX_set_purpose(context.get(), X509_PURPOSE_SSL_SERVER);
  const bool good = X509_verify_cert(context.get()) == 1;
  const std::string error =
      good ? "" : X509_verify_cert_error_string(X509_STORE_CTX_get_error(context.get()));
  sk_X509_free(issuers);
  return error;
}

std::string StubIssuing::chain_error(const std::string& chain, const std::vector<std::string>& names,
                                     int root) const {
  if (chain.empty()) return "there is no chain";
  if (crypto::read_pem_chain(chain).front().names() != names) return "the names are others";
  return verification_error(chain, stub.root_pem(root));
}

PebbleHolder::PebbleHolder(embedded::PebbleOptions wanted)
    : options(with_folder(std::move(wanted))), pebble(options) {}

PebbleIssuing::PebbleIssuing(embedded::PebbleOptions wanted)
    : PebbleHolder(std::move(wanted)), Issuing(gate.directory_url(), gate.ca_file()) {
  if (!options.always_valid)
    responder.emplace(Http01Config{.listen = "127.0.0.1:" + std::to_string(options.http_port)},
                      store::DatabaseOptions{.url = test.url()});
}

}  // namespace csrq::test
