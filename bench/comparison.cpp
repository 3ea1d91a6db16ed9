#include "bench/comparison.hpp"

#include <algorithm>
#include <chrono>

#include "bench/most_possible.hpp"

namespace csrq::bench {

Comparison compare(const Portfolio& portfolio, const std::vector<Moment>& moments, Time until) {
  MostPossible most(portfolio);
  Comparison compared{.possible = {}, .share = 0, .worst_day = 1};
  compared.possible.reserve(moments.size());
  std::int64_t possible = 0;
  double achieved_times = 0;
  double possible_times = 0;
  Time last = moments.empty() ? Time{} : moments.front().at;
  for (const Moment& moment : moments) {
    compared.possible.push_back(moment.is_out ? 0 : most.at(moment.at));
    possible += compared.possible.back();
    if (moment.at < until) {
      const auto passed = static_cast<double>((moment.at - last).count());
      achieved_times += passed * static_cast<double>(moment.first);
      possible_times += passed * static_cast<double>(possible);
      if (std::chrono::floor<std::chrono::days>(moment.at) > std::chrono::floor<std::chrono::days>(last))
        compared.worst_day =
            std::min(compared.worst_day, static_cast<double>(moment.first) / static_cast<double>(possible));
    }
    last = moment.at;
  }
  compared.share = possible_times > 0 ? achieved_times / possible_times : 1;
  return compared;
}

}  // namespace csrq::bench
