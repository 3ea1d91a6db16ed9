#pragma once

#include <cstddef>

#include "base/time.hpp"
#include "bench/limited_ca.hpp"
#include "bench/portfolio.hpp"

namespace csrq::bench {

/// The other client of the CA, which takes from the limits of a portfolio's contested domains.
class OtherClient {
 public:
  /// `portfolio` must outlive this.
  explicit OtherClient(const Portfolio& portfolio) : portfolio_(portfolio) {}

  /// Gets the certificates whose time has come. Times must not go back.
  void issue_due(LimitedCa& ca, Time now);

 private:
  const Portfolio& portfolio_;
  std::size_t next_{0};
};

}  // namespace csrq::bench
