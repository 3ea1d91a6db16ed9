#pragma once

#include <functional>

#include "accounts/accounts.hpp"
#include "cas/ca_pool.hpp"
#include "store/janitor.hpp"

namespace csrq::issuance {

/// What became of authorizations.
struct SweepTally {
  int deactivated{};
  int over{};  ///< the CA says that they are no longer pending (or valid), or does not know them
  int left{};  ///< could not be deactivated; told in the ledger, and tried again if that may help
};

/// Deactivates (RFC 8555 §7.5.2) the authorizations of `scope` that are due, within the budget. Each
/// deactivation is written down before it is sent, so several may sweep at once. CAs that are out of reach
/// are passed over. `stopped` is asked before each: true ends the sweep. Waits for the network. Throws
/// Unreachable if the database is away.
SweepTally sweep(
    store::Database& database, cas::CaPool& cas, accounts::Accounts& accounts, store::SweepScope scope,
    const std::function<bool()>& stopped = [] { return false; });

}  // namespace csrq::issuance
