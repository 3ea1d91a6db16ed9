#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include <pqxx/pqxx>

#include "base/time.hpp"
#include "bench/limited_ca.hpp"
#include "bench/portfolio.hpp"
#include "bench/simulated_outcomes.hpp"
#include "cas/outage.hpp"

namespace csrq::bench {

/// What became of the rows of a claim.
struct Played {
  std::int64_t claimed{};
  std::int64_t orders{};              ///< that the CA answered
  std::int64_t refused{};             ///< answers 429
  std::int64_t news{};                ///< of these, which only the CA could know
  std::int64_t failed{};              ///< validations
  std::vector<std::size_t> issued{};  ///< numbers of names
  std::vector<std::size_t> renewed{};
};

/// A worker of csrq in virtual time and without a network: calls csrq's functions for claims, limits, orders,
/// retries and completion as the program does, decides by issuance::outcome_of(), and asks `ca` what the
/// program would send.
class SimulatedWorker {
 public:
  /// All must outlive this; the database must have the virtual clock. Every row gets that chain.
  SimulatedWorker(pqxx::connection& connection, const Portfolio& portfolio, LimitedCa& ca,
                  std::string chain = "-----BEGIN CERTIFICATE-----");

  /// One claim, and a step for each of its rows. `is_out`: the CA gives no answer. `now` is the virtual
  /// clock's.
  Played play(Time now, bool is_out);

 private:
  SimulatedRows claim(pqxx::work& transaction) const;
  void take_further(pqxx::work& transaction, SimulatedRows rows, bool is_out);
  bool find_account(pqxx::work& transaction, SimulatedRow& row, bool is_out);
  /// Rows with an order; `lost`: those for which one was asked for before, without an answer.
  SimulatedRows open_orders(pqxx::work& transaction, const SimulatedRows& rows, SimulatedRows& lost);
  void ask_ca(const SimulatedRow& row, bool is_out);
  void get_no_answer(SimulatedRow row);
  void refuse(SimulatedRow row, const LimitedCa::Refusal& refusal);
  /// As the program decides it. `outage`: how long the CA is left alone.
  void end_step(SimulatedRow row, Failure failure, std::optional<Duration> outage = {});
  Subject subject_of(const SimulatedRow& row) const;

  pqxx::connection& connection_;
  const Portfolio& portfolio_;
  LimitedCa& ca_;
  SimulatedOutcomes outcomes_;
  std::int64_t worker_{};
  cas::Outage outage_{};
  std::unordered_map<int, std::int64_t> registered_{};  ///< accounts, by customer

  Time now_{};
  Played played_{};
};

}  // namespace csrq::bench
