#include "cas/outage.hpp"

#include <doctest/doctest.h>

using csrq::cas::Outage;
using namespace std::chrono_literals;

namespace {

const Outage::Clock::time_point start{1h};

/// Two requests, one after the other, that got no answer.
void go_out(Outage& outage, Outage::Clock::time_point at) {
  CHECK_FALSE(outage.failed(at - 1s, at - 1s));
  CHECK(outage.failed(at, at));
}

}  // namespace

TEST_CASE("a CA that gives no answer is left alone for a pause that doubles up to five minutes") {
  Outage outage;
  CHECK_FALSE(outage.remaining(start));
  go_out(outage, start);
  CHECK(outage.remaining(start) == 5s);
  CHECK_FALSE(outage.remaining(start + 5s));
  auto at = start + 5s;
  for (const auto pause : {10s, 20s, 40s, 80s, 160s, 300s, 300s}) {
    CHECK_FALSE(outage.failed(at, at));
    CHECK(outage.remaining(at) == pause);
    at += pause;
  }
}

TEST_CASE("one request without an answer is no outage, nor are those that were under way with it") {
  Outage outage;
  CHECK_FALSE(outage.failed(start, start + 1s));
  CHECK_FALSE(outage.failed(start, start + 1s));
  CHECK_FALSE(outage.failed(start + 500ms, start + 2s));
  CHECK_FALSE(outage.is_out());
  CHECK_FALSE(outage.remaining(start + 2s));
  SUBCASE("but the next one is") {
    CHECK(outage.failed(start + 2s, start + 3s));
    CHECK(outage.is_out());
  }
  SUBCASE("and an answer in between makes the next one the first") {
    CHECK_FALSE(outage.answered(start + 2s));
    CHECK_FALSE(outage.failed(start + 3s, start + 4s));
    CHECK_FALSE(outage.is_out());
  }
}

TEST_CASE("requests that were under way together make one pause, not one each") {
  Outage outage;
  go_out(outage, start);
  CHECK_FALSE(outage.failed(start, start + 1s));
  CHECK(outage.remaining(start + 1s) == 4s);
}

TEST_CASE("an answer ends an outage, and tells so once") {
  Outage outage;
  CHECK_FALSE(outage.answered(start));
  go_out(outage, start + 1s);
  CHECK(outage.answered(start + 2s));
  CHECK_FALSE(outage.answered(start + 3s));
  CHECK_FALSE(outage.remaining(start + 3s));
  go_out(outage, start + 5s);
  CHECK(outage.answered_since(start + 1s));
  CHECK_FALSE(outage.answered_since(start + 3s));
}

TEST_CASE("a CA is silent since its first unanswered request, until it answers or nobody asks it any more") {
  Outage outage;
  CHECK_FALSE(outage.silence(start));
  outage.failed(start, start, "no route");
  outage.failed(start + 59s, start + 60s);
  REQUIRE(outage.silence(start + 90s));
  CHECK(outage.silence(start + 90s)->lasting == 90s);
  CHECK(outage.silence(start + 90s)->cause == "no route");
  CHECK_FALSE(outage.silence(start + 60s + 16min));
  outage.answered(start + 100s);
  CHECK_FALSE(outage.silence(start + 101s));
}
