#pragma once

#include <functional>

#include "issuance/sweep.hpp"
#include "workers/rounds.hpp"

namespace csrq::workers {

/// Leaves nothing behind: closes orders that have expired and settles abandoned authorizations, every half
/// minute. Any number of workers may have one.
class Janitor {
 public:
  /// All must outlive this. Tells the database the CAs' policies. Throws Unreachable.
  Janitor(store::Database& database, cas::CaPool& cas, accounts::Accounts& accounts);

  /// Begins to do rounds on a thread of its own. The destructor ends one under way after its current request.
  void start();
  /// One round, on the caller's thread, until `stopped` says so. Throws Unreachable.
  issuance::SweepTally round(const std::function<bool()>& stopped);

 private:
  store::Database& database_;
  cas::CaPool& cas_;
  accounts::Accounts& accounts_;
  Rounds rounds_{};
};

}  // namespace csrq::workers
