#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "base/error_code.hpp"
#include "base/time.hpp"

namespace csrq {

/// What happens to a row whose step failed; ARCHITECTURE.md, "Failure classes".
enum class FailureClass {
  transient,       ///< connection, 5xx, badNonce: the row backs off
  limited,         ///< the CA asks to wait: not counted as a failure
  validation,      ///< the CA could not validate a name: backs off, people are told
  permanent,       ///< another try would end alike: the row is failed until a person acts
  administrative,  ///< the account or CA needs a person; its rows wait
};
std::string_view to_string(FailureClass failure_class);

/// For whom a CA's limit holds.
enum class LimitScope { ca, address, account, registered_domain, identifier, name_set };
std::string_view to_string(LimitScope scope);

/// Which limit a CA says is used up, as far as its answer tells.
struct UsedUpLimit {
  LimitScope scope{};
  std::string subject{};  ///< the domain or name that the answer speaks of; empty: the row's own
};

/// The request to a CA that a failure came from.
struct FailedRequest {
  std::string method{};
  std::string url{};
  int status{};  ///< 0: no complete answer
  Duration took{};
};

/// One failure, as it is kept in csrq.request.error and in the history.
struct Failure {
  FailureClass failure_class{};
  std::string code{};     ///< to_string(ErrorCode), the end of an ACME problem type ("dns"), or "http_502"
  std::string detail{};   ///< one sentence for people: what is wrong, where, and what helps
  std::string problem{};  ///< the CA's problem document (RFC 9457) whole, as JSON text; empty if it sent none
  std::optional<Duration> retry_after{};  ///< how long the CA asked to wait
  std::optional<FailedRequest> request{};
  std::optional<UsedUpLimit> limit{};
  std::vector<std::string> failed_names{};  ///< of the row's names, those that it is about; empty: not known
  std::optional<std::int64_t> refused_account{};  ///< csrq's, which the row waits for
};

/// The one exception a step throws on purpose. Anything else that escapes a step counts as transient.
class Error : public std::runtime_error {
 public:
  explicit Error(Failure failure) : std::runtime_error(failure.detail), failure_(std::move(failure)) {}
  const Failure& failure() const noexcept { return failure_; }

 private:
  Failure failure_;
};

/// Shorthand for the common case without a problem document.
[[noreturn]] void fail(FailureClass failure_class, ErrorCode code, std::string detail);

/// A mistake in the command line, the configuration or the environment: exit code 2.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The database or a CA is out of reach: exit code 3.
class Unreachable : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The database refuses this call for now (a lock that somebody keeps, a full disk, a cancelled query): the
/// same call may succeed later. Nothing was written.
class TryAgain : public Unreachable {
 public:
  using Unreachable::Unreachable;
};

/// Process exit codes, documented in `csrq --help`.
enum class Exit : int { done = 0, some_failed = 1, usage = 2, unreachable = 3 };

}  // namespace csrq
