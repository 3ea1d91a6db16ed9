#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "issuance/sweep.hpp"

namespace csrq::workers {

/// Leaves nothing behind: closes orders that have expired and settles abandoned authorizations, every half
/// minute. Any number of workers may have one.
class Janitor {
 public:
  /// All must outlive this. Tells the database the CAs' policies. Throws Unreachable.
  Janitor(store::Database& database, issuance::CaPool& cas, issuance::Accounts& accounts);
  ~Janitor();  ///< ends a round under way after its current request
  Janitor(const Janitor&) = delete;
  Janitor& operator=(const Janitor&) = delete;

  /// Begins to do rounds on a thread of its own.
  void start();
  /// One round, on the caller's thread, until `stopped` says so. Throws Unreachable.
  issuance::SweepTally round(const std::function<bool()>& stopped);

 private:
  void do_rounds();

  store::Database& database_;
  issuance::CaPool& cas_;
  issuance::Accounts& accounts_;
  std::mutex mutex_{};
  std::condition_variable stop_{};
  std::atomic<bool> stopping_{false};
  std::thread thread_{};
};

}  // namespace csrq::workers
