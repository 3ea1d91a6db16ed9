#include "issuance/outage.hpp"

#include <doctest/doctest.h>

using csrq::issuance::Outage;
using namespace std::chrono_literals;

namespace {

const Outage::Clock::time_point start{1h};

}  // namespace

TEST_CASE("a CA that gives no answer is left alone for a pause that doubles up to five minutes") {
  Outage outage;
  CHECK_FALSE(outage.remaining(start));
  CHECK(outage.failed(start));
  CHECK(outage.remaining(start) == 5s);
  CHECK_FALSE(outage.remaining(start + 5s));
  auto at = start + 5s;
  for (const auto pause : {10s, 20s, 40s, 80s, 160s, 300s, 300s}) {
    CHECK_FALSE(outage.failed(at));
    CHECK(outage.remaining(at) == pause);
    at += pause;
  }
}

TEST_CASE("requests that were under way together make one pause, not one each") {
  Outage outage;
  CHECK(outage.failed(start));
  CHECK_FALSE(outage.failed(start + 1s));
  CHECK(outage.remaining(start + 1s) == 4s);
}

TEST_CASE("an answer ends an outage, and tells so once") {
  Outage outage;
  CHECK_FALSE(outage.answered(start));
  outage.failed(start + 1s);
  CHECK(outage.answered(start + 2s));
  CHECK_FALSE(outage.answered(start + 3s));
  CHECK_FALSE(outage.remaining(start + 3s));
  CHECK(outage.failed(start + 4s));
  CHECK(outage.answered_since(start + 1s));
  CHECK_FALSE(outage.answered_since(start + 3s));
}

TEST_CASE("a CA is silent since its first unanswered request, until it answers or nobody asks it any more") {
  Outage outage;
  CHECK_FALSE(outage.silence(start));
  outage.failed(start, "no route");
  outage.failed(start + 60s);
  REQUIRE(outage.silence(start + 90s));
  CHECK(outage.silence(start + 90s)->lasting == 90s);
  CHECK(outage.silence(start + 90s)->cause == "no route");
  CHECK_FALSE(outage.silence(start + 60s + 16min));
  outage.answered(start + 100s);
  CHECK_FALSE(outage.silence(start + 101s));
}
