#include "issuance/reach.hpp"

#include "base/log.hpp"
#include "issuance/wait.hpp"
#include "renewals/renewal_time.hpp"

namespace csrq::issuance {
namespace {

using namespace std::chrono_literals;

/// Requests of one row in a row without an answer, while others get theirs: then it counts as the row's
/// failure.
constexpr int most_unanswered = 3;
/// Rows that wait for a CA do not all come back at once.
constexpr auto spread_over = 2s;

/// No answer at all, or one from something in front of the CA.
bool is_unanswered(const Failure& failure) {
  const int status = failure.request->status;
  const bool was_cut_short_by_us = failure.code == ErrorCode::oversize;
  return (status == 0 && !was_cut_short_by_us) || status == 502 || status == 503 || status == 504;
}

}  // namespace

std::optional<Progress> wait_for_ca(World& world, Task& task) {
  const cas::PooledCa& ca = *task.place.ca;
  const std::optional<Duration> out = ca.outage.remaining(cas::Outage::Clock::now());
  if (!out) return std::nullopt;
  const Duration jitter = std::chrono::duration_cast<Duration>(renewals::random_share() *
                                                               std::chrono::duration<double>(spread_over));
  return wait(world, task, {.wait = *out + jitter},
              {.failure_class = FailureClass::transient,
               .code = to_string(ErrorCode::ca_out_of_reach),
               .detail = "the CA " + ca.name() + " is out of reach; csrq looks again by itself"});
}

void note_answer(cas::PooledCa& ca) {
  if (ca.outage.answered(cas::Outage::Clock::now())) log::info("a CA answers again", {{"ca", ca.name()}});
}

std::optional<Duration> note_failure(Task& task, const Failure& failure) {
  if (!task.place.ca || !failure.request || failure.failure_class != FailureClass::transient)
    return std::nullopt;
  cas::PooledCa& ca = *task.place.ca;
  if (!is_unanswered(failure)) {
    note_answer(ca);
    return std::nullopt;
  }
  const cas::Outage::Clock::time_point now = cas::Outage::Clock::now();
  const cas::Outage::Clock::time_point sent = now - failure.request->took;
  Stage& stage = task.order.stage;
  if (stage.unanswered++ == 0) stage.unanswered_since = sent;
  if (stage.unanswered >= most_unanswered && ca.outage.answered_since(stage.unanswered_since))
    return std::nullopt;
  if (ca.outage.failed(sent, now, failure.detail))
    log::error("a CA is out of reach; its rows wait", {{"ca", ca.name()}, {"cause", failure.detail}});
  return ca.outage.remaining(cas::Outage::Clock::now()).value_or(1s);
}

}  // namespace csrq::issuance
