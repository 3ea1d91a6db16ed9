#pragma once

#include <cstdint>
#include <string>

#include "workers/issuer.hpp"

namespace csrq::app {

/// What `csrq run` shows while it works: a bar on a terminal, a line for each row otherwise, JSON lines if
/// asked.
class BatchReport {
 public:
  enum class Style { bar, lines, json };
  /// `total`: rows expected, for the bar.
  BatchReport(Style style, std::int64_t total) : style_(style), total_(total) {}

  workers::IssuerObserver observer();
  void summary(const workers::Tally& tally) const;

 private:
  void finished(const workers::Outcome& outcome) const;
  void bar(const workers::Tally& tally) const;

  Style style_;
  std::int64_t total_;
};

}  // namespace csrq::app
