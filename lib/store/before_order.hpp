#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "store/database.hpp"
#include "store/ids.hpp"

/// What the database decides of a row before anything is asked of a CA.
namespace csrq::store {

/// What a worker has read from the row's CSR.
struct ReadRow {
  std::vector<std::string> names{};
  std::string demand_sha256{};  ///< raw octets; rows with the same one can share a chain
  bool may_fall_back{};         ///< its CA has a fallback
};

enum class Verdict {
  order,             ///< the row goes on to its CA
  issued,            ///< it has got the chain of another row for the same certificate, and is done
  wait,              ///< put off while another row for the same certificate is under way
  fresh_csr_wanted,  ///< its renewal is parked: the app is asked for a new CSR
  not_granted,       ///< its customer may not ask for these names (customers.grants): it has failed for good
};

struct Decision {
  Verdict verdict{};
  std::string detail{};          ///< why it does not go on: a sentence
  bool falls_back{};             ///< of `order`: to the fallback of its CA
  std::string open_directory{};  ///< of the CA where the row has an open order; empty: it has none
};

/// Writes down what was read, and what becomes of the row (except `not_granted`), in one transaction. Throws
/// LeaseLost (ledger.hpp).
Decision before_order(Database& database, const Fence& fence, const ReadRow& row);

/// For how long `Verdict::wait` puts a row off: csrq.wait_for_other() has the same figure.
inline constexpr auto wait_for_other_row = std::chrono::minutes(1);

}  // namespace csrq::store
