#include "issuance/ca_work.hpp"

#include <doctest/doctest.h>

using namespace std::chrono_literals;
using namespace csrq;
using namespace csrq::issuance;

namespace {

acme::Challenge challenge(ChallengeStatus status, bool with_error = false) {
  return {.status = status, .error = with_error ? std::optional(acme::Problem{}) : std::nullopt};
}

const acme::Challenge pending = challenge(ChallengeStatus::pending);
const acme::Challenge processing = challenge(ChallengeStatus::processing);
const acme::Challenge failing = challenge(ChallengeStatus::processing, true);

/// As if the challenges had been answered so long ago, by this task or another one.
CaWork answered(Duration ago, bool by_this_task = true) {
  const auto at = CaWork::Clock::now() - ago;
  CaWork work{.asked_at = at};
  if (by_this_task) work.answered_at = at;
  return work;
}

}  // namespace

TEST_CASE("a challenge is answered once, and while the CA looks at it left alone") {
  CHECK(wants_answer(pending, {}));
  CHECK_FALSE(wants_answer(processing, {}));
  CHECK_FALSE(wants_answer(pending, answered(40s)));
  CHECK_FALSE(wants_answer(processing, answered(40s)));
  CHECK_FALSE(wants_answer(processing, answered(40s, false)));
}

TEST_CASE("a challenge that is pending is answered again by the next task, or after a minute") {
  CHECK(wants_answer(pending, answered(1s, false)));
  CHECK(wants_answer(pending, answered(61s)));
}

TEST_CASE("a challenge that is processing is answered again when it has an error, or after a minute") {
  CHECK(wants_answer(failing, answered(1s)));
  CHECK(wants_answer(processing, answered(61s)));
  CHECK(wants_answer(processing, answered(61s, false)));
}

TEST_CASE("whoever retries has every open challenge answered again") {
  CaWork work = answered(1s);
  work.asks_anew = true;
  CHECK(wants_answer(pending, work));
  CHECK(wants_answer(processing, work));
}
