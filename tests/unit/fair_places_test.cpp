#include "proofs/fair_places.hpp"

#include <doctest/doctest.h>

#include <vector>

using namespace csrq::proofs;
using namespace std::chrono_literals;

namespace {

/// Takes places until there are none for this customer.
std::vector<FairPlaces::Place> take_all(FairPlaces& places, const std::string& customer,
                                        FairPlaces::Clock::time_point now) {
  std::vector<FairPlaces::Place> taken;
  while (auto place = places.try_take(customer, now)) taken.push_back(std::move(*place));
  return taken;
}

const auto start = FairPlaces::Clock::now();

}  // namespace

TEST_CASE("one customer gets half of the places, and leaves the others theirs") {
  FairPlaces places(8);
  const auto bobs = take_all(places, "bob", start);
  CHECK(bobs.size() == 4);
  CHECK(take_all(places, "alice", start).size() == 4);
}

TEST_CASE("a place that was left is free again") {
  FairPlaces places(1);
  {
    const auto place = places.try_take("bob", start);
    REQUIRE(place);
    CHECK_FALSE(places.try_take("alice", start));
  }
  CHECK(places.try_take("alice", start));
}

TEST_CASE("however few the places, there is one") {
  FairPlaces places(0);
  CHECK(places.try_take("bob", start));
}

TEST_CASE("whoever was served longest ago, and still asks, comes first") {
  FairPlaces places(2);
  auto bobs = take_all(places, "bob", start);
  auto carols = take_all(places, "carol", start);
  REQUIRE_FALSE(places.try_take("alice", start + 1s));
  bobs.clear();
  CHECK_FALSE(places.try_take("bob", start + 1s));
  SUBCASE("she takes it") {
    CHECK(places.try_take("alice", start + 2s));
  }
  SUBCASE("unless she has stopped asking") {
    CHECK(places.try_take("bob", start + 4s));
  }
}
