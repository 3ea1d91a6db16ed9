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

/// As if the CA had been told of the responses so long ago, by this task or another one.
CaWork told(Duration ago, bool by_this_task = true) {
  const auto at = CaWork::Clock::now() - ago;
  CaWork work{.asked_at = at};
  if (by_this_task) work.told_at = at;
  return work;
}

}  // namespace

TEST_CASE("a challenge is answered once, and while the CA looks at it left alone") {
  CHECK(wants_answer(pending, {}));
  CHECK_FALSE(wants_answer(processing, {}));
  CHECK_FALSE(wants_answer(pending, told(40s)));
  CHECK_FALSE(wants_answer(processing, told(40s)));
  CHECK_FALSE(wants_answer(processing, told(40s, false)));
}

TEST_CASE("a challenge that is pending is answered again by the next task, or after a minute") {
  CHECK(wants_answer(pending, told(1s, false)));
  CHECK(wants_answer(pending, told(61s)));
}

TEST_CASE("a challenge that is processing is answered again when it has an error, or after a minute") {
  CHECK(wants_answer(failing, told(1s)));
  CHECK(wants_answer(processing, told(61s)));
  CHECK(wants_answer(processing, told(61s, false)));
}

TEST_CASE("whoever retries has every open challenge answered again") {
  CaWork work = told(1s);
  work.asks_anew = true;
  CHECK(wants_answer(pending, work));
  CHECK(wants_answer(processing, work));
}
