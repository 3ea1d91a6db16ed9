#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace csrq::test {

/// A request's kind. `deactivation` is a POST to an authorization with a payload; `account` any POST to an
/// account's URL; `issuer` a certificate behind an `up` link.
enum class StubRequest {
  directory,
  new_nonce,
  new_account,
  account,
  order_list,
  new_order,
  order,
  authorization,
  deactivation,
  challenge,
  finalize,
  certificate,
  alternate,
  issuer,
  revoke,
  renewal_info,
  unknown,
};
std::string to_string(StubRequest kind);

/// An answer in place of the right one.
struct StubAnswer {
  int status{200};
  std::vector<std::pair<std::string, std::string>> headers{};
  std::string content_type{};
  std::string body{};
};

/// What goes wrong with a request.
struct Fault {
  bool carried_out{};                  ///< the CA does what it was asked for all the same
  std::optional<StubAnswer> answer{};  ///< none: the connection is cut
};

namespace faults {

/// The connection ends before the CA has done anything.
Fault cut_before();
/// The CA does what it was asked for, and the connection ends instead of an answer.
Fault lost_answer();
/// An answer without a body. `retry_after`: seconds or an HTTP-date; empty: no such header.
Fault status(int status, const std::string& retry_after = {});
/// application/problem+json; `type` without the urn: prefix. `more`: members beside type, status and detail.
Fault problem(int status, const std::string& type, const std::string& detail,
              const nlohmann::json& more = nlohmann::json::object(), const std::string& retry_after = {},
              const std::string& help = {});
/// Any body, with status 200; the request is carried out.
Fault body(const std::string& content_type, const std::string& body);
/// Of so many octets, as JSON text.
Fault huge_body(std::size_t size);

}  // namespace faults

enum class HoldPoint {
  before,  ///< the request has come, nothing is done yet
  after,   ///< it is carried out, the answer is not sent yet
};

/// A request that stands still at the CA until the test lets it go on.
class Hold {
 public:
  struct State;
  explicit Hold(std::shared_ptr<State> state) : state_(std::move(state)) {}
  Hold(Hold&&) = default;
  Hold& operator=(Hold&&) = delete;
  ~Hold();  ///< releases

  /// Returns once a request is held. Throws std::runtime_error after half a minute without one.
  void wait_until_reached();
  bool reached() const;
  void release();

 private:
  std::shared_ptr<State> state_;
};

/// The faults and holds that wait for their requests. Thread-safe.
class FaultPlan {
 public:
  ~FaultPlan() { release_all(); }

  void fail_next(StubRequest kind, Fault fault, int count, int skip);
  Hold hold_next(StubRequest kind, HoldPoint point);

  /// Called once for each request; waits while a test holds it.
  std::optional<Fault> arrive(StubRequest kind);
  /// Called when the request is carried out; waits while a test holds it.
  void done(StubRequest kind);
  void release_all();  ///< now and for ever

 private:
  struct Planned {
    Fault fault{};
    int count{};
    int skip{};
  };
  void wait_if_held(StubRequest kind, HoldPoint point);
  std::optional<Fault> next_fault(StubRequest kind);

  std::mutex mutex_{};
  std::map<StubRequest, std::deque<Planned>> planned_{};
  std::multimap<std::pair<StubRequest, HoldPoint>, std::shared_ptr<Hold::State>> holds_{};
  std::vector<std::shared_ptr<Hold::State>> all_holds_{};
  bool closed_{false};
};

}  // namespace csrq::test
