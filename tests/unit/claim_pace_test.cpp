#include "workers/claim_pace.hpp"

#include <doctest/doctest.h>

using namespace csrq;
using namespace std::chrono_literals;
using workers::ClaimPace;

namespace {

const ClaimPace::Clock::time_point at{1h};

ClaimPace pace_of(std::size_t capacity, std::optional<std::int64_t> limit = {}) {
  return ClaimPace({.capacity = capacity, .poll = 5s, .limit = limit});
}

}  // namespace

TEST_CASE("claim pace: a worker fills its room, at most 256 rows at once") {
  CHECK(pace_of(100).wanted(0) == 100);
  CHECK(pace_of(100).wanted(40) == 60);
  CHECK(pace_of(1000).wanted(0) == 256);
}

TEST_CASE("claim pace: a worker that is nearly full claims nothing before an eighth of its room is free") {
  const ClaimPace pace = pace_of(80);
  CHECK(pace.wanted(80) == 0);
  CHECK(pace.wanted(71) == 0);
  CHECK(pace.wanted(70) == 10);
  CHECK(pace_of(1).wanted(0) == 1);
}

TEST_CASE("claim pace: after a claim that got all, the next follows at once") {
  ClaimPace pace = pace_of(100);
  pace.claimed(100, 100, false, at);
  CHECK(pace.next() <= at);
}

TEST_CASE("claim pace: after a claim that got less, the next comes with the poll, or soon if more is due") {
  ClaimPace pace = pace_of(100);
  pace.claimed(100, 99, false, at);
  CHECK(pace.next() == at + 5s);
  pace.claimed(100, 99, true, at);
  CHECK(pace.next() == at + 100ms);
}

TEST_CASE("claim pace: while no CA is in reach nothing is claimed, but looked at with the poll") {
  ClaimPace pace = pace_of(100, 10);
  pace.pause(1min, at);
  CHECK(pace.next() == at + 5s);
  CHECK(pace.is_over());
  pace.pause(1s, at);
  CHECK(pace.next() == at + 1s);
}

TEST_CASE("claim pace: a batch claims as many rows as it may, and is over then") {
  ClaimPace pace = pace_of(100, 150);
  CHECK(pace.wanted(0) == 100);
  pace.claimed(100, 100, false, at);
  CHECK_FALSE(pace.is_over());
  CHECK(pace.wanted(0) == 50);
  pace.claimed(50, 50, false, at);
  CHECK(pace.is_over());
  CHECK(pace.wanted(0) == 0);
}

TEST_CASE("claim pace: a batch is over when nothing more is due") {
  ClaimPace pace = pace_of(100, 150);
  pace.claimed(100, 3, true, at);
  CHECK_FALSE(pace.is_over());
  pace.claimed(97, 3, false, at);
  CHECK(pace.is_over());
}

TEST_CASE("claim pace: a worker without an end is never over") {
  ClaimPace pace = pace_of(100);
  pace.claimed(100, 0, false, at);
  CHECK_FALSE(pace.is_over());
  CHECK(pace.wanted(0) == 100);
  CHECK_FALSE(pace.looks_again(true));
}

TEST_CASE("claim pace: a batch looks ten times in a row at what another worker's claim has locked") {
  ClaimPace pace = pace_of(100, 150);
  for (int i = 0; i < 9; ++i) CHECK(pace.looks_again(true));
  CHECK(pace.looks_again(false));
  for (int i = 0; i < 10; ++i) CHECK(pace.looks_again(true));
  CHECK_FALSE(pace.looks_again(true));
}
