#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "issuance/later.hpp"
#include "store/rate_limits.hpp"

namespace csrq::issuance {

/// What counts, beside the failure itself, when it is decided what becomes of a row.
struct Facts {
  std::vector<std::string> names{};  ///< of the CSR; empty: it was not read
  bool has_account{};                ///< the step got as far as its account
  bool is_at_fallback{};             ///< of the CA that the row names
  int attempt{};                     ///< times that the row was claimed
  int turned_away{};                 ///< by a busy CA, since it was claimed last
  std::optional<Duration> outage{};  ///< the CA is out of reach, and is left alone for so long
  std::vector<Duration> schedule{};  ///< retry.schedule
};

/// What becomes of a row whose step did not succeed.
struct Outcome {
  Failure failure{};      ///< as it is written down
  bool raises_alarm{};    ///< a person must act: somebody is told
  bool is_turned_away{};  ///< by a CA that is busy
  /// All rows that would meet this limit wait with it, for the failure's `retry_after` or longer:
  /// csrq.rate_hold says how long.
  std::optional<UsedUpLimit> hold{};
  /// No failure is counted, and the row waits, as long as the hold if there is one. Nothing: it is counted,
  /// and the schedule says what follows.
  std::optional<Later> later{};
};

/// ARCHITECTURE.md, "Failure classes". Pure: asks nobody, changes nothing.
Outcome outcome_of(Failure failure, const Facts& facts);

/// Of a row that may open no order yet. Pure.
Outcome outcome_of(const store::NotYet& not_yet);

}  // namespace csrq::issuance
