#include "issuance/ca_work.hpp"

namespace csrq::issuance {
namespace {

/// A CA that has not decided on a challenge by then may have lost the answer to it.
constexpr Duration before_answering_again = std::chrono::minutes(1);

}  // namespace

bool wants_answer(const acme::Challenge& challenge, const CaWork& work) {
  if (work.asks_anew) return true;
  const std::optional<CaWork::Clock::time_point> last = work.told_at ? work.told_at : work.asked_at;
  const bool is_overdue = last && CaWork::since(*last) >= before_answering_again;
  if (challenge.status == ChallengeStatus::pending) return is_overdue || !work.told_at;
  return is_overdue || challenge.error.has_value();
}

}  // namespace csrq::issuance
