#pragma once

#include <memory>
#include <optional>

#include "acme/authorization.hpp"
#include "acme/order.hpp"
#include "base/error.hpp"
#include "challenges/solver.hpp"
#include "crypto/chain.hpp"
#include "dns/resolver.hpp"
#include "issuance/accounts.hpp"
#include "issuance/ca_pool.hpp"
#include "issuance/ca_work.hpp"
#include "issuance/preflight.hpp"
#include "issuance/self_checks.hpp"
#include "store/database_clock.hpp"
#include "store/jobs.hpp"
#include "store/ledger.hpp"

namespace csrq {
struct Config;
struct RenewalConfig;
struct RetryConfig;
}  // namespace csrq

namespace csrq::issuance {

/// Waits up to this long are spent in memory with the lease kept; longer ones in the database.
inline constexpr Duration longest_leased_wait = std::chrono::minutes(1);

/// A wait that a worker spends with the row kept.
struct WaitInMemory {
  std::string code{};
  Outage::Clock::time_point since{};
  std::string written{};  ///< the sentence that was written into the row; empty: none
};

/// Responses to an order's challenges that are in place, and of which the CA was not told yet.
struct PlacedResponses {
  acme::Order order{};
  std::vector<Response> responses{};
};

/// A claimed row on its way through the CA. Beside the claim it holds only what can be read again from the
/// database and the CA: a task may be dropped at any moment, and the next worker's task for the row takes the
/// same way.
struct Task {
  explicit Task(store::Claim claimed) : claim(std::move(claimed)) {}

  enum class Phase { opening, validation, issuance };

  store::Claim claim;
  std::optional<AcceptedCsr> csr{};
  const challenges::Solver* solver{};
  PooledCa* ca{};
  OrderSlot slot{};
  std::shared_ptr<const OpenAccount> account{};
  std::optional<store::OpenOrder> order{};
  std::optional<acme::Order> unrecorded{};  ///< what newOrder answered, while the database was away
  std::optional<PlacedResponses> placed{};  ///< the CA is to be told of them
  Phase phase{Phase::opening};
  bool decided{};                ///< the database lets the row go on to its CA
  bool at_fallback{};            ///< `ca` is the fallback of the one that the row names
  bool registered_again{};       ///< the CA had forgotten the account
  bool was_handed_used_order{};  ///< another row's, which that had finished with
  CaWork work{};
  WaitInMemory waiting{};
  int looks{};      ///< at the order, in this phase
  int finalized{};  ///< times that the CA took the request to finalize the order
  int looks_for_slot{};
  int turned_away{};   ///< by a busy CA, for a short time
  int locked_looks{};  ///< times in a row that somebody had the row locked
  int unwritten{};     ///< times that the database did not take what became of a step
  int unanswered{};    ///< requests without an answer, in this phase
  Outage::Clock::time_point unanswered_since{};

  /// The order is closed: what comes next opens another.
  void forget_order() {
    order.reset();
    unrecorded.reset();
    placed.reset();
    phase = Phase::opening;
    work = {};
    looks = 0;
    finalized = 0;
    unanswered = 0;
  }

  /// csrq.retry() was called for the row. `asks_anew`: the CA is asked once more for what it is at work on.
  void retry(bool asks_anew) {
    work.asked_at = CaWork::Clock::now();
    work.read_at.reset();
    work.asks_anew = asks_anew;
    looks = 0;
    finalized = 0;
  }
};

/// What a row says itself, else what its CA's configuration says.
inline const std::string& first_not_empty(const std::string& first, const std::string& second) {
  return first.empty() ? second : first;
}

/// What an order asks for. At a fallback CA only that one's own configuration counts: profiles and chains go
/// by names that each CA chooses for itself.
const std::string& wanted_profile(const Task& task);
const std::string& wanted_chain(const Task& task);

/// A row whose CA has a fallback is looked at this often, however long its CA lets it wait.
inline constexpr Duration longest_wait_before_fallback = std::chrono::hours(1);
/// `wait`, or less if there is a fallback to be thought of.
Duration with_fallback(const Task& task, Duration wait);

/// A chain as it goes into the row.
struct DeliveredChain {
  std::vector<crypto::Certificate> chain{};
  std::string warning{};  ///< for the row's history; empty: none
};

/// How far a step came.
struct Progress {
  enum class Kind {
    issued,
    revoked,
    waiting,  ///< in memory, still leased: call advance() again after `wait`
    put_off,  ///< back in the queue for later, not a failure
    failed,   ///< back in the queue by the schedule, or until a person acts, or parked
    dropped,  ///< the lease was lost or the row cancelled: nothing was written
  };
  Kind kind{};
  Duration wait{};
  std::optional<Failure> failure{};
};

/// RFC 8555 §7.4 from first line to last.
class Issuance {
 public:
  /// All must outlive this.
  Issuance(const Config& config, store::Database& database, const store::DatabaseClock& clock, CaPool& cas,
           Accounts& accounts);

  /// Takes a row as far as it goes without waiting (beyond single requests and commits). Safe to repeat after
  /// a crash at any point: the CA holds the truth, we hold the URLs. What becomes of the row is written
  /// before this returns. Throws only Unreachable (the database is away; nothing is known to be written).
  /// Thread-safe for different tasks.
  Progress advance(Task& task);

 private:
  // issuance.cpp
  Progress advance_and_record(Task& task);
  Progress record_outcome_plainly(const Task& task, std::string_view cause);
  Progress issue(Task& task);
  void prepare(Task& task);
  Progress take_order_further(Task& task, acme::Session& session, acme::Order order);
  Progress wait_for_slot(Task& task);
  std::optional<Progress> wait_for_ca(Task& task);
  std::optional<Progress> open_order(Task& task);
  Progress wait_to_order(Task& task, const store::NotYet& not_yet);
  Progress wait_for_order_of_other(Task& task);
  bool is_lost(const store::OpenOrder& order, const Error& error);
  std::optional<acme::Order> current_order(Task& task, acme::Session& session);

  // before_order.cpp
  std::optional<Progress> before_order(Task& task);

  // fallback.cpp
  void fall_back(Task& task, const std::string& open_directory) const;
  std::string why_not(const Task& task, PooledCa& ca) const;

  // new_order.cpp
  std::optional<acme::Order> order_for_intent(Task& task, acme::Session& session);
  std::string certificate_to_replace(const Task& task);
  std::optional<acme::Order> order_in_place_of_refused(Task& task, acme::Session& session, Failure refused);
  std::optional<acme::Order> find_lost_order(const Task& task, acme::Session& session);
  std::optional<acme::Order> first_resumable(const Task& task, acme::Session& session,
                                             const std::vector<std::string>& urls);
  bool was_promoted() const;
  void give_up_intent(Task& task);
  bool keeps_adopted_order(Task& task, acme::Session& session);

  // issuance.cpp
  Progress wait_for(Task& task, Task::Phase phase, const acme::Order& order);
  Progress order_another(Task& task, const acme::Order& order);
  Progress finish(Task& task, acme::Session& session, const acme::Order& order);
  Progress revoke(Task& task);

  // delivery.cpp
  DeliveredChain deliver(Task& task, acme::Session& session, const acme::Order& order);
  DeliveredChain completed(const Task& task, const crypto::ChainDemand& demand,
                           std::vector<crypto::Certificate> alone);

  // authorize.cpp
  Progress authorize(Task& task, acme::Session& session, const acme::Order& order);
  Progress answer(Task& task, acme::Session& session);
  std::vector<acme::Authorization> read_all_or_close(Task& task, acme::Session& session,
                                                     const acme::Order& order);
  [[noreturn]] void give_up_order(Task& task, acme::Session& session, const acme::Order& order);
  [[noreturn]] void close_dead_order(Task& task, const acme::Order& order,
                                     const std::vector<acme::Authorization>& authorizations);

  // wait_for_account.cpp
  Progress wait_for_account(Task& task, const AccountRefused& refused);

  // outcome.cpp
  static void ca_answers(PooledCa& ca);
  static bool is_outage(Task& task, const Failure& failure);
  Progress record_outcome(Task& task, Failure failure);
  Progress wait_for_limit(Task& task, Failure failure);
  Progress wait_for_pause(Task& task, Failure failure);
  Progress wait_for_hold(Task& task, Duration wait, Failure why);
  Progress wait_or_put_off(Task& task, Duration wait, Failure failure);
  Progress wait_in_memory(Task& task, Duration wait, const Failure& why, Duration moment);
  Progress tell_and_wait(Task& task, Duration wait, Failure why);
  Progress put_off(Task& task, Duration wait, Failure failure);
  Duration hold_others(const Task& task, const Failure& failure, Duration least);

  const Config& config_;
  const RetryConfig& retry_;
  const RenewalConfig& renewal_;
  store::Database& database_;
  const store::DatabaseClock& clock_;
  CaPool& cas_;
  Accounts& accounts_;
  dns::Resolver resolver_;
  std::optional<SelfChecks> self_checks_{};  ///< none: responses are not looked at before the CA does
};

}  // namespace csrq::issuance
