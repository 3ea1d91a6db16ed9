#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <pqxx/pqxx>

#include "store/accounts.hpp"
#include "store/jobs.hpp"
#include "store/ledger.hpp"
#include "store/requests.hpp"
#include "support/test_cluster.hpp"

namespace csrq::test {

/// SQL beside the store's own connection, each statement a transaction of its own.
class Sql {
 public:
  explicit Sql(const std::string& url) : connection_(url) {}

  void run(const std::string& statement) { pqxx::nontransaction(connection_).exec(statement); }

  /// The first column of the first row; "" for NULL or no row.
  std::string value(const std::string& query) {
    pqxx::nontransaction statements(connection_);
    const auto rows = statements.exec(query);
    return rows.empty() || rows[0][0].is_null() ? std::string() : std::string(rows[0][0].c_str());
  }

  /// What the server says against it; "" if nothing.
  std::string refusal(const std::string& statement) {
    try {
      run(statement);
      return {};
    } catch (const pqxx::sql_error& error) {
      return error.what();
    }
  }

  /// Folder of the server's Unix socket.
  std::string socket_folder() {
    const std::string folders = value("SHOW unix_socket_directories");  // quoted, or the first of a list
    const std::size_t start = folders.starts_with('"') ? 1 : 0;
    return folders.substr(start, folders.find_first_of("\",", start) - start);
  }

 private:
  pqxx::connection connection_;
};

inline const std::string some_csr =
    "-----BEGIN CERTIFICATE REQUEST-----\nMA==\n-----END CERTIFICATE REQUEST-----\n";
inline constexpr Duration lease = std::chrono::minutes(10);
inline const std::vector<Duration> schedule{std::chrono::minutes(1), std::chrono::minutes(10)};

inline store::AccountOwner some_owner(const std::string& owner = "acme") {
  return {.ca = "ca",
          .directory = "https://ca.example/dir",
          .policy = AccountPolicy::per_customer,
          .owner = owner};
}

/// Differs for each `n`.
inline store::SealedKey some_key(char n) {
  return {.thumbprint = std::string("thumbprint-") + n,
          .spki_sha256 = std::string(31, '\0') + n,
          .sealing_key_id = "k1",
          .sealed = '\x01' + std::string(60, '\xff') + '\0' + n};
}

inline Failure some_failure(FailureClass failure_class) {
  return {.failure_class = failure_class,
          .code = "dns",
          .detail = "no such name",
          .problem = {},
          .retry_after = {}};
}

/// What the store refuses it for; "" if it does not.
inline std::string refusal_of(const std::function<void()>& action) {
  try {
    action();
    return {};
  } catch (const UsageError& error) {
    return error.what();
  }
}

/// A fresh database, a store on it and a registered worker.
struct Store {
  TestDatabase test{};
  store::Database database{{.url = test.url()}};
  Sql sql{test.url()};
  store::WorkerId worker{store::worker_start(database, "host", 1, "test")};

  store::RequestId submit(store::Submission submission = {}) {
    if (submission.customer.empty()) submission.customer = "acme";
    if (submission.csr.empty()) submission.csr = some_csr;
    return store::submit(database, {std::move(submission)}).front().id;
  }

  store::Claim claim_one() { return store::claim(database, worker, 1, lease).at(0); }

  /// An order that the CA calls ready, with one authorization.
  store::OrderId ready_order(const store::Fence& fence,
                             const std::vector<std::string>& names = {"a.example"}) {
    const auto account = store::find_or_create_account(database, some_owner(), some_key('a'));
    const auto opened = store::open_order(database, fence, account.id, names, {});
    const std::string url =
        "https://ca.example/order/" + std::to_string(store::number(opened.order.value().id));
    if (!store::record_order(database, fence, order_record(opened.order->id, url)))
      throw std::runtime_error("the order is another request's");
    return opened.order->id;
  }

  static store::OrderRecord order_record(store::OrderId id, const std::string& url) {
    return {.id = id,
            .status = OrderStatus::ready,
            .url = url,
            .finalize_url = url + "/finalize",
            .certificate_url = {},
            .expires = std::nullopt,
            .authorizations = {url + "/authorization"}};
  }

  static store::Issued issued(store::OrderId order, const std::string& serial) {
    const Time start = now();
    return {.order = order,
            .chain = "-----BEGIN CERTIFICATE-----\n" + serial,
            .issuers = "-----BEGIN CERTIFICATE-----\nissuer",
            .der = std::string("0\0\xff\x80", 4) + serial,
            .serial = serial,
            .renewal_info_id = "ari",
            .not_before = start,
            .not_after = start + std::chrono::hours(24 * 90),
            .renew_at = start + std::chrono::hours(24 * 60)};
  }

  /// Claims the next row and issues its certificate.
  store::RequestId issue_next(const std::string& serial) {
    const auto claim = claim_one();
    if (!store::complete(database, claim.fence, issued(ready_order(claim.fence), serial)))
      throw std::runtime_error("the lease was lost");
    return claim.fence.request;
  }

  std::string request(store::RequestId id, const std::string& column) {
    return sql.value("SELECT " + column +
                     " FROM csrq.request WHERE id = " + std::to_string(store::number(id)));
  }
  std::string job(store::RequestId id, const std::string& column) {
    return sql.value("SELECT " + column +
                     " FROM csrq.job WHERE request_id = " + std::to_string(store::number(id)));
  }
  std::string count(const std::string& table) { return sql.value("SELECT count(*) FROM csrq." + table); }

  /// As if the worker had died two minutes ago.
  void worker_dies() { sql.run("UPDATE csrq.worker SET heartbeat_at = now() - interval '2 minutes'"); }
};

}  // namespace csrq::test
