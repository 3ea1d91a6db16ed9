#pragma once

#include <cstdint>
#include <functional>
#include <queue>
#include <utility>
#include <vector>

#include "base/time.hpp"
#include "bench/limited_ca.hpp"
#include "bench/other_client.hpp"
#include "bench/portfolio.hpp"

namespace csrq::bench {

/// How many first certificates a CA's limits allow by each time: to somebody who knows them and what the
/// other client does, but not which names will fail, so that each of those costs an order at first.
class MostPossible {
 public:
  /// `portfolio` must outlive this.
  explicit MostPossible(const Portfolio& portfolio);

  /// Issues all that can be issued at this time; returns how many. Times must not go back.
  std::int64_t at(Time now);

 private:
  using Due = std::pair<Time, std::size_t>;
  using Waiting = std::priority_queue<Due, std::vector<Due>, std::greater<>>;

  void insert_due(Time now);
  bool has_account(std::size_t customer, Time now);
  std::int64_t serve(std::size_t customer, Time now);

  const Portfolio& portfolio_;
  const std::vector<int> order_;  ///< accounts are registered for those first who can use them most
  LimitedCa ca_{};
  OtherClient other_client_;
  std::size_t next_{0};           ///< name to be inserted
  std::vector<Waiting> waiting_;  ///< of each customer, by when a name can be tried
  std::vector<bool> registered_;
  std::vector<bool> tried_;  ///< names that failed
};

}  // namespace csrq::bench
