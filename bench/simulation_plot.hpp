#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace csrq::bench {

/// A day of the simulation.
struct Day {
  std::int64_t issued{};  ///< first certificates
  std::int64_t renewed{};
  std::int64_t possible{};  ///< first certificates that the limits allowed
  std::int64_t refused{};   ///< answers 429
  std::int64_t
      waiting{};  ///< names without a certificate at its end, those that cannot be validated left out
};

struct SimulationPlot {
  std::string title{};
  std::vector<Day> days{};
  double outage_from{};  ///< in days
  double outage_until{};
  double revocation{};
};

/// A whole SVG document.
std::string svg_of(const SimulationPlot& plot);

}  // namespace csrq::bench
