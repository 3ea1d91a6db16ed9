#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <pqxx/pqxx>

#include "base/time.hpp"
#include "bench/portfolio.hpp"
#include "issuance/outcome.hpp"

namespace csrq::bench {

/// A claimed row. Name n is request n + 1.
struct SimulatedRow {
  std::size_t name{};
  std::int64_t lease{};
  bool is_renewal{};
  int attempt{};
  std::int64_t account{};
  std::int64_t order{};
  issuance::Outcome outcome{};

  std::int64_t request() const { return static_cast<std::int64_t>(name) + 1; }
};
using SimulatedRows = std::vector<SimulatedRow>;

/// A value of each row, as the parameter of a statement for all of them.
auto each(const SimulatedRows& rows, auto value_of) {
  std::vector<decltype(value_of(rows.front()))> values;
  values.reserve(rows.size());
  for (const SimulatedRow& row : rows) values.push_back(value_of(row));
  return values;
}
inline constexpr auto requests = [](const SimulatedRow& row) { return row.request(); };
inline constexpr auto leases = [](const SimulatedRow& row) { return row.lease; };
inline constexpr auto accounts = [](const SimulatedRow& row) { return row.account; };

/// Of the CA whose limits are simulated.
extern const char* const simulated_directory;

/// What becomes of the rows of a claim, written with a statement for all that meet the same.
class SimulatedOutcomes {
 public:
  /// `portfolio` must outlive this. Every row that is issued gets that chain.
  SimulatedOutcomes(const Portfolio& portfolio, std::string chain);

  /// In the transaction that makes the schema `simulated` ready.
  static void prepare(pqxx::transaction_base& transaction);

  void issue(SimulatedRow row) { to_issue_.push_back(std::move(row)); }
  /// As issuance::outcome_of() has it.
  void end(SimulatedRow row, issuance::Outcome outcome);
  /// Writes them all; `now` is the virtual clock's.
  void write(pqxx::transaction_base& transaction, std::int64_t worker, Time now);

  /// Of what was written last.
  const SimulatedRows& issued() const { return issued_; }
  std::int64_t failed() const { return failed_; }

 private:
  void write_issued(pqxx::transaction_base& transaction, std::int64_t worker, Time now);
  void write_holds(pqxx::transaction_base& transaction, std::int64_t worker);

  const Portfolio& portfolio_;
  const std::string chain_;
  std::int64_t serial_{1};
  SimulatedRows to_issue_{};
  SimulatedRows to_fail_{};
  SimulatedRows to_hold_{};
  SimulatedRows to_put_off_{};
  SimulatedRows issued_{};
  std::int64_t failed_{};
};

}  // namespace csrq::bench
