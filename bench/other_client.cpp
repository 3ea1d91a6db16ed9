#include "bench/other_client.hpp"

namespace csrq::bench {

void OtherClient::issue_due(LimitedCa& ca, Time now) {
  const auto& due = portfolio_.taken_by_others;
  for (; next_ < due.size() && due[next_].at <= now; ++next_)
    for (const int domain : portfolio_.contested_domains)
      ca.somebody_else_issued(domain, now, due[next_].certificates);
}

}  // namespace csrq::bench
