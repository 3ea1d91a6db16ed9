#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/time.hpp"
#include "support/stub_chains.hpp"
#include "support/stub_faults.hpp"

namespace csrq::test {

/// What stays as it is for a stub's lifetime.
struct StubOptions {
  int intermediates{1};    ///< CA certificates between the end entity and the root
  int alternate_roots{0};  ///< each with a certificate for the topmost intermediate, offered as an alternate
  std::string terms_of_service{"https://stub.example/terms"};  ///< empty: none
  /// Key id and MAC key (base64url); where there is one, an account needs an external account binding.
  std::map<std::string, std::string> external_account_keys{};
  int order_list_page{3};  ///< orders on a page of an account's list; 0: the CA has no such lists
  int threads{64};         ///< connections served at once; more wait
};

/// What a test may change while the stub runs.
struct StubBehaviour {
  // Validation, carried out while the challenge is being answered:
  bool always_valid{true};  ///< false: fetched from 127.0.0.1:`http_port`, which stands for every name
  int http_port{5002};
  std::map<std::string, nlohmann::json> failing_names{};  ///< identifier → problem document
  int lost_responses{0};     ///< of each challenge so many are lost: it stays `pending`
  int failing_responses{0};  ///< after those, so many leave it `processing` with an error
  /// Not 0: a response leaves its challenge `processing`; the so-manieth look at the order finds it
  /// validated.
  int looks_until_validated{0};

  // Orders:
  /// Not 0: finalize answers `processing`; the so-manieth look at the order finds it `valid`. -1: none does.
  int looks_until_issued{0};
  std::string retry_after{};         ///< of orders that are looked at too early: seconds or an HTTP-date
  bool reuse_authorizations{false};  ///< an account's valid authorization serves its later orders
  bool reuse_orders{false};          ///< an open order of the same names is handed out again, as Boulder does
  bool shuffle{false};               ///< identifiers and authorizations in another order at each answer
  bool list_only_tried{true};        ///< a final authorization shows only the challenge that decided it
  Duration order_lifetime{std::chrono::hours(24)};

  // Renewal information (RFC 9773):
  bool offers_renewal_info{false};
  std::string renewal_info_retry_after{"21600"};  ///< empty: none
  bool counts_open_replacements{false};           ///< alreadyReplaced also for a pending order, as §5 has it
  bool refuses_replaces{false};                   ///< with `malformed`

  // Certificates:
  Duration valid_since{std::chrono::hours(1)};  ///< how long before now they begin
  Duration valid_for{std::chrono::hours(24 * 90)};
  ChainDelivery delivery{};

  int reject_nonces_percent{0};  ///< of good ones, with badNonce

  /// Called with each answer's object just before it is sent; empty: nothing changes.
  std::function<void(nlohmann::json&)> edit_directory{};
  std::function<void(nlohmann::json&)> edit_order{};
  std::function<void(nlohmann::json&)> edit_authorization{};
  /// Its window is about two thirds of the certificate's lifetime, and a day wide.
  std::function<void(nlohmann::json&)> edit_renewal_info{};
};

// The CA's own view, to be compared with a database.

struct StubAccount {
  std::string url{};
  std::string thumbprint{};
  std::string status{};
  std::vector<std::string> contact{};
  std::string external_kid{};  ///< empty: not bound
};

struct StubOrder {
  std::string url{};
  std::string account{};  ///< URL
  std::string status{};
  std::vector<std::string> names{};           ///< sorted
  std::vector<std::string> authorizations{};  ///< URLs
  std::vector<std::string> serials{};         ///< of certificates issued for it
  int handed_out{};                           ///< answers to newOrder that named it
  std::string replaces{};                     ///< serial number of a certificate; empty: none
};

struct StubAuthorization {
  std::string url{};
  std::string account{};
  std::string identifier{};
  std::string status{};
  int responses{};      ///< challenge responses that were accepted
  int deactivations{};  ///< requests to deactivate it
};

struct StubCertificate {
  std::string serial{};  ///< hexadecimal, lower case
  std::string order{};   ///< URL
  std::string account{};
  std::vector<std::string> names{};
  bool revoked{};
  int reason{};
};

/// An ACME CA (RFC 8555) for tests and benchmarks, over TLS at 127.0.0.1, everything in memory. It verifies
/// every request as a strict CA does and issues real certificates; it can be told to misbehave. HTTP/1.1.
/// Thread-safe.
class AcmeStub {
 public:
  /// Listens before it returns. Makes a folder for ca_file() below run_folder().
  explicit AcmeStub(StubOptions options = {});
  ~AcmeStub();  ///< releases what is held, closes every connection
  AcmeStub(const AcmeStub&) = delete;
  AcmeStub& operator=(const AcmeStub&) = delete;

  std::string directory_url() const;
  std::string ca_file() const;  ///< trust anchor of the API itself, not of what it issues
  int port() const;

  /// For the next requests; those under way may see the old behaviour or the new one.
  void change(const std::function<void(StubBehaviour&)>& edit);

  /// The next `count` requests of that kind, after the next `skip` of them, go wrong. Several calls queue up.
  void fail_next(StubRequest kind, Fault fault, int count = 1, int skip = 0);
  /// Stops the next request of that kind; see Hold.
  Hold hold_next(StubRequest kind, HoldPoint point = HoldPoint::before);

  /// Requests a second that are let through; one too many is answered 503 with Retry-After. See StubLimits.
  void limit(StubRequest kind, int per_second);
  std::uint64_t turned_away() const;

  std::uint64_t requests() const;  ///< nonces and directory included
  std::uint64_t requests(StubRequest kind) const;
  std::map<StubRequest, std::uint64_t> requests_by_kind() const;
  /// Those that the CA carried out, whether or not the answer arrived.
  std::uint64_t accepted(StubRequest kind) const;
  void forget_requests();  ///< all these counts are 0 again
  /// TCP connections that clients opened.
  std::uint64_t connections() const;
  std::uint64_t issued() const;

  std::vector<StubAccount> accounts() const;
  std::vector<StubOrder> orders() const;  ///< in the order of their making
  std::vector<StubAuthorization> authorizations() const;
  std::vector<StubCertificate> certificates() const;

  /// What clients did that no correct client does: a sentence each. Always worth a check that it is empty.
  std::vector<std::string> complaints() const;

  /// Trust anchors of what is issued: 0 the default one, then the alternates.
  std::string root_pem(int index = 0) const;
  static std::string root_name(int index);            ///< common name
  std::string root_fingerprint(int index = 0) const;  ///< SHA-256, hexadecimal

  // What happens at a CA without a client's doing:
  void move_endpoints();  ///< the directory names other URLs from now on; the former ones answer 404
  void forget_account(const std::string& url);
  void deactivate_account(const std::string& url);
  void forget_order(const std::string& url);
  void set_order_status(const std::string& url, const std::string& status);
  void set_authorization_status(const std::string& url, const std::string& status);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace csrq::test
