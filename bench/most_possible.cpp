#include "bench/most_possible.hpp"

namespace csrq::bench {

MostPossible::MostPossible(const Portfolio& portfolio)
    : portfolio_(portfolio),
      order_(portfolio.by_size()),
      other_client_(portfolio),
      waiting_(static_cast<std::size_t>(portfolio.customers)),
      registered_(waiting_.size(), false),
      tried_(portfolio.names.size(), false) {}

std::int64_t MostPossible::at(Time now) {
  insert_due(now);
  other_client_.issue_due(ca_, now);
  std::int64_t issued = 0;
  for (const int number : order_) {
    const auto customer = static_cast<std::size_t>(number);
    if (!waiting_[customer].empty() && waiting_[customer].top().first <= now && has_account(customer, now))
      issued += serve(customer, now);
  }
  return issued;
}

void MostPossible::insert_due(Time now) {
  for (; next_ < portfolio_.names.size() && portfolio_.names[next_].inserted <= now; ++next_)
    waiting_[static_cast<std::size_t>(portfolio_.names[next_].customer)].emplace(
        portfolio_.names[next_].inserted, next_);
}

bool MostPossible::has_account(std::size_t customer, Time now) {
  if (!registered_[customer]) registered_[customer] = !ca_.new_account(now);
  return registered_[customer];
}

std::int64_t MostPossible::serve(std::size_t customer, Time now) {
  std::int64_t issued = 0;
  Waiting& waiting = waiting_[customer];
  while (!waiting.empty() && waiting.top().first <= now) {
    const std::size_t index = waiting.top().second;
    const WantedName& wanted = portfolio_.names[index];
    const bool fails = wanted.can_be_proven > now;
    const Subject subject{
        .account = wanted.customer, .name = static_cast<std::int64_t>(index), .domain = wanted.domain};
    if (fails && tried_[index]) {
      waiting.pop();
      if (wanted.can_be_proven < Time::max()) waiting.emplace(wanted.can_be_proven, index);
      continue;
    }
    const auto refused = ca_.new_order(subject, now);
    if (refused && refused->limit == LimitedCa::Limit::orders) break;
    waiting.pop();
    if (refused) {
      waiting.emplace(now + refused->retry_after, index);
    } else if (fails) {
      tried_[index] = true;
      if (wanted.can_be_proven < Time::max()) waiting.emplace(wanted.can_be_proven, index);
    } else {
      ca_.issued(subject, now);
      ++issued;
    }
  }
  return issued;
}

}  // namespace csrq::bench
