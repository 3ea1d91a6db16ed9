#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/time.hpp"

namespace csrq::bench {

/// A name for which a customer wants a certificate, from the time it is inserted.
struct WantedName {
  int customer{};
  int domain{};  ///< registered domain
  Time inserted{};
  Time can_be_proven{};          ///< its validations fail before; Time::max(): always
  bool is_single_insert{false};  ///< inserted by a small customer after the start
};

/// When another client of the CA gets so many certificates for each contested domain.
struct TakenByOthers {
  Time at{};
  int certificates{};
};

/// Names of customers of very different size, in no order: one has half of them, the others fewer and fewer.
/// Some have many names under one registered domain. Two of a hundred names can never be validated, three not
/// for the first days. After the start small customers, old and new ones, insert single rows now and then.
struct Portfolio {
  std::vector<WantedName> names{};  ///< in the order in which they are inserted
  int customers{};
  std::vector<int> contested_domains{};          ///< where another client of the CA gets certificates, too
  std::vector<TakenByOthers> taken_by_others{};  ///< in the order of time

  std::string name(std::size_t index) const;
  static std::string domain(int index);
  static std::string customer(int index);
  /// Customers, those with the most names first.
  std::vector<int> by_size() const;
};

Portfolio make_portfolio(std::int64_t names, Time start, Time end, unsigned seed);

}  // namespace csrq::bench
