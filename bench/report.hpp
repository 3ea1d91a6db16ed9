#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace csrq::bench {

/// A measured value and what it should be.
struct Figure {
  std::string name{};  ///< "claim_ms": what it is, and its unit
  double value{};
  std::optional<double> at_least{};
  std::optional<double> at_most{};

  bool missed() const { return (at_least && value < *at_least) || (at_most && value > *at_most); }
};

/// A measurement: by what it differs from the others, and its figures.
struct Measurement {
  std::vector<std::pair<std::string, std::string>> labels{};
  std::vector<Figure> figures{};
};

/// One table for people; "!" marks what missed its target, and the targets stand below.
void print_table(const std::vector<Measurement>& measurements);
/// One JSON object.
void print_json(const Measurement& measurement);
/// A lone one: as JSON, or as a table.
void print(const Measurement& measurement, bool as_json);

double milliseconds_of(const std::function<void()>& action);

double median(std::vector<double> values);
/// Share between 0 and 1.
double percentile(std::vector<double> values, double share);

}  // namespace csrq::bench
