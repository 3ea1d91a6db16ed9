#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "db/store_fixture.hpp"
#include "embedded/process.hpp"
#include "support/acme_stub.hpp"
#include "support/folders.hpp"
#include "support/test_csr.hpp"

namespace csrq::test {

/// What may not be after any crash, in words; empty: nothing is wrong.
class Damage {
 public:
  void add(const std::string& finding) { text_ += (text_.empty() ? "" : "; ") + finding; }
  void expect_none(std::int64_t count, const std::string& what) {
    if (count != 0) add(std::to_string(count) + " " + what);
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_{};
};

/// A database, a CA (our stub) and a configuration; workers are processes of the real program, to be killed.
class CrashSite {
 public:
  CrashSite() : CrashSite(std::make_unique<TestDatabase>()) {}
  /// With a database of the test's own, which has the schema.
  explicit CrashSite(std::string url) : url_(std::move(url)) {
    std::filesystem::create_directories(folder_);
    write("sealing.key", "c2VjcmV0IGtleSBvZiAzMiBvY3RldHMgZm9yIHRlc3Q=\n");
    std::filesystem::permissions(folder_ / "sealing.key",
                                 std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
    write("csrq.yaml", "database:\n  url: \"" + url_ + "\"\ncas:\n  stub:\n    directory: " +
                           stub.directory_url() + "\n    ca_file: " + stub.ca_file() +
                           "\n    terms_of_service_agreed: true\n    deactivate_per_hour: 1000\n"
                           "accounts:\n  sealing_key_file: sealing.key\n"
                           "worker:\n  threads: 8\n  poll: 50ms\n");
  }

  /// `csrq WORD…`; `failpoint`: where it is to be killed, empty: nowhere.
  std::unique_ptr<embedded::Process> start(std::vector<std::string> words,
                                           const std::string& failpoint = {}) const {
    words.insert(words.begin(), build_folder() / "csrq");
    words.insert(words.end(), {"--config", folder_ / "csrq.yaml"});
    return std::make_unique<embedded::Process>(embedded::ProcessOptions{
        .command = words, .environment = {{"CSRQ_FAILPOINT", failpoint}}, .log_file = log_file()});
  }
  int run(const std::vector<std::string>& words, const std::string& failpoint = {}) const {
    return start(words, failpoint)->wait(std::chrono::minutes(1)).value_or(-1);
  }
  std::string log_file() const { return log_file_.empty() ? std::string(folder_ / "log") : log_file_; }
  void log_to(const std::string& file) { log_file_ = file; }

  /// By plain SQL, as an app does it.
  std::int64_t submit(const std::string& customer, const std::string& name) {
    return std::stoll(sql().value("INSERT INTO csrq.request (customer, csr) VALUES ('" + customer + "', '" +
                                  csr_pem({name}) + "') RETURNING id"));
  }

  /// As if the time had passed after which a silent worker is taken for dead, and a waiting row is due.
  void time_passes() {
    sql().run("UPDATE csrq.worker SET heartbeat_at = now() - interval '2 minutes' WHERE stopped_at IS NULL");
    sql().run("UPDATE csrq.job SET run_at = now() WHERE status = 'ready'");
    sql().run("UPDATE csrq.registration SET ask_again_at = now() WHERE refusals = 0");
    sql().run(
        "UPDATE csrq.acme_authorization SET deactivation_at = deactivation_at - interval '1 hour' WHERE id "
        "IN "
        "(SELECT id FROM csrq.acme_authorization WHERE deactivation_at IS NOT NULL FOR UPDATE SKIP LOCKED)");
  }

  std::int64_t count(const std::string& query) {
    return std::stoll("0" + sql().value("SELECT count(*) FROM " + query));
  }

  /// Compares the CA's view with the database's, once every row has come to its end.
  std::string damage() {
    Damage found;
    for (const std::string& complaint : stub.complaints()) found.add("the CA complains: " + complaint);
    found.expect_none(count("csrq.request WHERE status = 'pending'"),
                      "rows neither issued nor failed nor cancelled");
    found.expect_none(count("csrq.job WHERE status <> 'parked'"), "jobs left");
    found.expect_none(count("csrq.acme_order WHERE closed_at IS NULL"), "orders still open");
    found.expect_none(count("csrq.acme_challenge WHERE key_authorization IS NOT NULL"),
                      "responses still in place");
    compare_orders(found);
    compare_authorizations(found);
    compare_certificates(found);
    return found.text();
  }

  AcmeStub stub{};
  /// Beside csrq's connections; made anew after a crash of the server.
  Sql& sql() { return *connection_; }
  void connect() { connection_ = std::make_unique<Sql>(url_); }

 private:
  explicit CrashSite(std::unique_ptr<TestDatabase> test) : CrashSite(test->url()) { test_ = std::move(test); }

  void write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name) << text;
  }

  bool knows(const std::string& table, const std::string& url) {
    return count("csrq." + table + " WHERE url = '" + url + "'") == 1;
  }

  void compare_orders(Damage& found) {
    const auto orders = stub.orders();
    found.expect_none(
        std::ranges::count_if(orders, [](const StubOrder& order) { return order.serials.size() > 1; }),
        "orders with two certificates");
    found.expect_none(std::ranges::count_if(
                          orders, [&](const StubOrder& order) { return !knows("acme_order", order.url); }),
                      "orders at the CA that the ledger does not know");
  }

  void compare_authorizations(Damage& found) {
    const auto authorizations = stub.authorizations();
    found.expect_none(std::ranges::count_if(authorizations,
                                            [&](const StubAuthorization& one) {
                                              return !knows("acme_authorization", one.url);
                                            }),
                      "authorizations at the CA that the ledger does not know");
    found.expect_none(
        std::ranges::count_if(authorizations,
                              [](const StubAuthorization& one) { return one.status == "pending"; }),
        "authorizations left pending at the CA");
  }

  void compare_certificates(Damage& found) {
    std::set<std::string> names;
    std::int64_t doubled = 0;
    std::int64_t lost = 0;
    for (const StubCertificate& certificate : stub.certificates()) {
      for (const std::string& name : certificate.names) doubled += names.insert(name).second ? 0 : 1;
      lost += count("csrq.certificate WHERE serial = '" + certificate.serial + "'") == 1 ? 0 : 1;
    }
    found.expect_none(doubled, "names with two certificates");
    found.expect_none(lost, "certificates of the CA that no row has ever got");
  }

  std::string log_file_{};
  std::unique_ptr<TestDatabase> test_{};
  std::string url_;
  std::unique_ptr<Sql> connection_{std::make_unique<Sql>(url_)};
  std::filesystem::path folder_{next_folder()};
  static std::filesystem::path next_folder() {
    static int counter = 0;
    return run_folder() / ("crash" + std::to_string(++counter));
  }
};

}  // namespace csrq::test
