#pragma once

#include <chrono>
#include <vector>

#include "base/time.hpp"

namespace csrq {

struct RetryConfig {
  std::vector<Duration> schedule{std::chrono::minutes(1), std::chrono::minutes(10), std::chrono::minutes(100),
                                 std::chrono::hours(24)};
};

}  // namespace csrq
