#pragma once

#include <cstdint>
#include <vector>

#include "base/time.hpp"
#include "bench/portfolio.hpp"

namespace csrq::bench {

/// A moment of a simulation at which the worker has looked.
struct Moment {
  Time at{};
  bool is_out{};         ///< the CA gave no answer
  std::int64_t first{};  ///< first certificates so far
};

/// What was achieved against what was possible.
struct Comparison {
  std::vector<std::int64_t> possible{};  ///< first certificates that became possible at each moment
  double share{};                        ///< up to a time: certificates × the time since they were issued
  double worst_day{};  ///< share of the certificates themselves, at the end of the worst day
};

/// `until`: share and worst day are taken up to then.
Comparison compare(const Portfolio& portfolio, const std::vector<Moment>& moments, Time until);

}  // namespace csrq::bench
