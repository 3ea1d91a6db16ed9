#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "accounts/accounts.hpp"
#include "acme/authorization.hpp"
#include "acme/order.hpp"
#include "cas/ca_pool.hpp"
#include "issuance/answers.hpp"
#include "issuance/ca_work.hpp"
#include "issuance/preflight.hpp"
#include "proofs/choice.hpp"
#include "store/jobs.hpp"
#include "store/ledger.hpp"

namespace csrq::issuance {

/// What a row wants. Read from it and its CSR once; nobody is asked again.
struct Goal {
  std::optional<AcceptedCsr> csr{};
  proofs::Candidates proofs{};  ///< that may be given of its names
  bool is_decided{};            ///< the database lets the row go on to its CA
};

/// Where it goes to get that. Once set, it stays.
struct Place {
  cas::PooledCa* ca{};
  bool is_fallback{};  ///< `ca` is the fallback of the one that the row names
  cas::OrderSlot slot{};
  std::shared_ptr<const accounts::OpenAccount> account{};
  bool is_registered_again{};  ///< the CA had forgotten the account
};

/// Part of an order's way. The next part begins with a fresh one.
struct Stage {
  enum class Phase { opening, validation, issuance };

  Phase phase{Phase::opening};
  int looks{};       ///< at the order
  int unanswered{};  ///< requests without an answer, in a row
  cas::Outage::Clock::time_point unanswered_since{};
};

/// The row's order at that place. When the order is closed, the next one begins with a fresh one of these.
struct OrderAtCa {
  std::optional<store::OpenOrder> open{};   ///< as the ledger has it
  std::optional<acme::Order> unrecorded{};  ///< what newOrder answered, while the database was away
  Answers answers{};                        ///< to its challenges
  std::optional<acme::Order> untold{};      ///< it, while the CA is still to be told of answers
  Stage stage{};
  CaWork work{};
  int finalized{};  ///< times that the CA took the request to finalize it

  /// Empty: csrq knows of none.
  std::string url() const { return unrecorded ? unrecorded->url : open ? open->url : ""; }
};

/// A wait that a worker spends with the row kept.
struct WaitInMemory {
  std::string code{};
  cas::Outage::Clock::time_point since{};
  std::string written{};  ///< the sentence that was written into the row; empty: none
};

/// What was put up with since the row was claimed.
struct Patience {
  WaitInMemory waiting{};
  int looks_for_slot{};
  int turned_away{};             ///< by a busy CA, for a short time
  int locked_looks{};            ///< times in a row that somebody had the row locked
  int unwritten{};               ///< times that the database did not take what became of a step
  bool was_handed_used_order{};  ///< another row's, which that had finished with
};

/// A claimed row on its way through the CA. Beside the claim it holds only what can be read again from the
/// database and the CA: a task may be dropped at any moment, and the next worker's task for the row takes the
/// same way.
struct Task {
  explicit Task(store::Claim claimed) : claim(std::move(claimed)) {}

  store::Claim claim;
  Goal goal{};
  Place place{};
  OrderAtCa order{};
  Patience patience{};

  /// csrq.retry() was called for the row. `asks_anew`: the CA is asked once more for what it is at work on.
  void retry(bool asks_anew);
  /// Of the account that its order is of.
  proofs::Prover prover() const {
    return {.account_url = place.account->signer.account_url, .thumbprint = place.account->thumbprint};
  }
  std::int64_t request() const { return store::number(claim.fence.request); }
  /// As the CSR has them; none as long as it was not read.
  std::vector<std::string> names() const { return goal.csr ? goal.csr->names : std::vector<std::string>{}; }
};

}  // namespace csrq::issuance
