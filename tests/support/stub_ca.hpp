#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "support/acme_stub.hpp"
#include "support/stub_jws.hpp"
#include "support/stub_pki.hpp"

/// Private to the stub.
namespace csrq::test {

struct StubHttpRequest {
  std::string method{};
  std::string target{};  ///< path and query
  std::string content_type{};
  std::string user_agent{};
  std::string body{};
};

/// A path as the stub makes them: "/order/17" is {"order", "17"}; the query is left out.
std::vector<std::string> path_parts(const std::string& target);

/// What a request wants; a JWS that cannot be read counts as one without payload.
StubRequest kind_of(const StubHttpRequest& request);

/// The CA itself: requests in, answers out, no network (but for http-01). Thread-safe.
class StubCa {
 public:
  StubCa(const StubOptions& options, std::string base_url);

  /// Nothing: the connection shall be cut.
  std::optional<StubAnswer> handle(const StubHttpRequest& request, StubRequest kind);
  std::string fresh_nonce();
  /// The connection is cut instead of an answer to this request: a client's transport may send it again.
  void excuse_repetition(const StubHttpRequest& request);

  void change(const std::function<void(StubBehaviour&)>& edit);
  std::string directory_url() const { return base_ + "/directory"; }
  const StubPki& pki() const { return pki_; }
  std::uint64_t issued() const;
  std::vector<StubAccount> accounts() const;
  std::vector<StubOrder> orders();
  std::vector<StubAuthorization> authorizations() const;
  std::vector<StubCertificate> certificates() const;
  std::vector<std::string> complaints() const;

  void move_endpoints();
  void forget_account(const std::string& url);
  void set_account_status(const std::string& url, const std::string& status);
  void forget_order(const std::string& url);
  void set_order_status(const std::string& url, const std::string& status);
  void set_authorization_status(const std::string& url, const std::string& status);

 private:
  using Json = nlohmann::json;
  using Parts = std::vector<std::string>;
  using Lock = std::unique_lock<std::mutex>;

  struct Account {
    std::size_t id{};
    std::shared_ptr<const StubKey> key{};
    std::string status{"valid"};
    std::vector<std::string> contact{};
    std::string external_kid{};
    bool forgotten{};
    std::vector<std::size_t> orders{};
  };
  struct Authorization {
    std::size_t id{};
    std::size_t account{};
    std::string identifier{};  ///< without "*."
    bool wildcard{};
    std::string status{"pending"};
    std::string challenge_status{"pending"};  ///< of http-01, the only one that can be answered
    std::string token{};
    Json error{};
    int looks_left{};
    int responses{};
    int deactivations{};
    Time expires{};
  };
  struct Order {
    std::size_t id{};
    std::size_t account{};
    std::string status{"pending"};
    std::vector<std::string> names{};  ///< as asked for
    std::vector<std::size_t> authorizations{};
    std::optional<std::size_t> certificate{};
    std::string csr{};  ///< DER, while `processing`
    std::vector<std::size_t> certificates{};
    Json error{};
    int looks_left{};
    int handed_out{1};
    std::optional<std::size_t> replaces{};  ///< a certificate
    bool forgotten{};
    Time expires{};
  };
  struct IssuedCertificate {
    std::string serial{};
    std::string der{};
    std::size_t order{};
    std::vector<std::string> names{};
    bool revoked{};
    int reason{};
  };
  /// A verified request.
  struct Signed {
    Parts path{};
    Json payload{};  ///< null: POST-as-GET
    Json jwk{};      ///< instead of an account
    std::shared_ptr<const StubKey> key{};
    std::optional<std::size_t> account{};
  };

  // stub_ca.cpp
  StubAnswer answer(const StubHttpRequest& request, StubRequest kind);
  Signed verified(const StubHttpRequest& request, StubRequest kind);
  std::shared_ptr<const StubKey> signing_key(const StubJws& jws, StubRequest kind, Signed& result);
  void take_nonce(const StubJws& jws);
  void complain(const std::string& what);
  std::string url(const std::string& kind, std::size_t id) const;
  std::string endpoint(const std::string& name) const;
  StubAnswer json_answer(int status, const Json& body) const;
  StubAnswer directory();
  StubAnswer new_account(const Signed& request);
  StubAnswer account(const Signed& request);
  StubAnswer order_list(const Signed& request, const std::string& target);
  StubAnswer account_answer(int status, const Account& account) const;
  Account& own_account(const Signed& request);

  // stub_orders.cpp
  StubAnswer new_order(const Signed& request);
  StubAnswer order(const Signed& request);
  StubAnswer authorization(const Signed& request);
  StubAnswer deactivate(const Signed& request);
  StubAnswer challenge(const Signed& request);
  StubAnswer finalize(const Signed& request);
  Order* reusable_order(std::size_t account, const std::vector<std::string>& names);
  std::size_t authorization_for(std::size_t account, const std::string& name);
  Order& own_order(const Signed& request);
  Authorization& own_authorization(const Signed& request);
  void refresh(Order& order);
  void validate(Lock& lock, std::size_t authorization);
  Json validation_error(Lock& lock, const Authorization& authorization);
  void issue(Lock& lock, std::size_t order);
  StubAnswer order_answer(int status, const Order& order, bool with_retry_after);
  StubAnswer authorization_answer(const Authorization& authorization);
  Json challenges_of(const Authorization& authorization) const;
  Json http_challenge(const Authorization& authorization) const;

  // stub_renewal_info.cpp
  StubAnswer renewal_info(const Parts& path) const;
  std::optional<std::size_t> certificate_named(const std::string& renewal_info_id) const;
  std::optional<std::size_t> replaced_by(const Json& payload, std::size_t account,
                                         const std::vector<std::string>& names);

  // stub_certificates.cpp
  std::optional<StubAnswer> certificate(const Signed& request);
  StubAnswer issuer(const Parts& path);
  std::optional<StubAnswer> alternate(const Signed& request);
  StubAnswer revoke(const Signed& request);
  std::string chain_body(const std::string& leaf, std::size_t alternate) const;
  StubAnswer issuer_answer(const std::string& der, const std::string& self, const std::string& above) const;
  void add_up_links(StubAnswer& answer, const std::string& self, const std::string& above) const;
  std::string link_to(ChainDelivery::Up up, const std::string& self, const std::string& above) const;
  const IssuedCertificate& own_certificate(const Signed& request);

  const StubOptions options_;
  const std::string base_;
  const StubPki pki_;

  mutable std::mutex mutex_{};  ///< guards what follows
  StubBehaviour behaviour_{};
  int generation_{1};
  std::uint64_t nonces_made_{0};
  std::unordered_set<std::string> nonces_{};
  std::unordered_set<std::string> excused_nonces_{};
  std::minstd_rand random_{1};
  std::vector<std::unique_ptr<Account>> accounts_{};
  std::map<std::string, std::size_t> accounts_by_key_{};  ///< thumbprint
  std::vector<std::unique_ptr<Order>> orders_{};
  std::vector<std::unique_ptr<Authorization>> authorizations_{};
  std::vector<std::unique_ptr<IssuedCertificate>> certificates_{};
  std::map<std::pair<std::size_t, std::string>, std::size_t> valid_authorizations_{};  ///< account, name
  std::map<std::pair<std::size_t, std::vector<std::string>>, std::size_t> latest_orders_{};
  std::vector<std::string> complaints_{};
};

/// Throws StubProblem{404, "malformed"} if the text is no number below `end`.
std::size_t stub_id(const std::string& text, std::size_t end);

}  // namespace csrq::test
