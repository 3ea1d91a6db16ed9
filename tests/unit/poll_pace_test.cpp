#include "cas/poll_pace.hpp"

#include <doctest/doctest.h>

using namespace std::chrono_literals;
using namespace csrq;
using namespace csrq::cas;

TEST_CASE("poll pace: the first wait falls while first looks find the thing done") {
  PollPace pace;
  const Duration before = pace.first_wait("acme");
  pace.learn("acme", true);
  CHECK(pace.first_wait("acme") < before);
  for (int i = 0; i < 200; ++i) pace.learn("acme", true);
  CHECK(pace.first_wait("acme") == 10ms);
}

TEST_CASE("poll pace: a first look that came too early makes the next one later, up to ten seconds") {
  PollPace pace;
  const Duration before = pace.first_wait("acme");
  pace.learn("acme", false);
  CHECK(pace.first_wait("acme") > before);
  for (int i = 0; i < 200; ++i) pace.learn("acme", false);
  CHECK(pace.first_wait("acme") == 10s);
}

TEST_CASE("poll pace: it comes to rest where about one first look in ten is too early") {
  for (const bool is_shared : {false, true}) {  // a customer's own pace, or that of all new ones
    CAPTURE(is_shared);
    PollPace pace;
    constexpr Duration needed = 2s;
    constexpr int lessons = 2000;
    int early = 0;
    for (int i = 0; i < lessons; ++i) {
      const std::string who = is_shared ? "customer " + std::to_string(i) : "acme";
      const bool was_done = pace.first_wait(who) >= needed;
      if (i >= lessons / 2 && !was_done) ++early;
      pace.learn(who, was_done);
    }
    CHECK(early > 50);
    CHECK(early < 200);
    CHECK(pace.first_wait("acme") > needed * 9 / 10);
    CHECK(pace.first_wait("acme") < needed * 4 / 3);
  }
}

TEST_CASE("poll pace: one customer's slow names make nobody else's first look late, known or new") {
  PollPace pace;
  for (int i = 0; i < 50; ++i)
    for (int customer = 0; customer < 50; ++customer) pace.learn("fast " + std::to_string(customer), true);
  const Duration known = pace.first_wait("fast 1");
  const Duration fresh = pace.first_wait("new");
  for (int i = 0; i < 1000; ++i) {
    pace.learn("slow", false);
    pace.learn("fast " + std::to_string(2 + i % 40), true);  // the others go on meanwhile
  }
  CHECK(pace.first_wait("slow") == 10s);
  CHECK(pace.first_wait("fast 1") == known);
  CHECK(pace.first_wait("new") <= fresh * 3 / 2);
}

TEST_CASE("poll pace: of ten thousand customers' and more the oldest paces are forgotten") {
  PollPace pace;
  for (int i = 0; i < 200; ++i) pace.learn("slow", false);
  for (int i = 0; i < 10'001; ++i) pace.learn("customer " + std::to_string(i), true);
  CHECK(pace.first_wait("slow") == 10ms);
}

TEST_CASE("poll pace: the longer a CA takes, the longer csrq waits, an hour at most") {
  CHECK(next_wait(1s, 0s) == 1s);
  CHECK(next_wait(1s, 1s) == 1500ms);
  CHECK(next_wait(1s, 10min) == 5min + 1s);
  CHECK(next_wait(1s, 3h) == 1h);
  CHECK(next_wait(1s, 24h * 365 * 100) == 1h);
  CHECK(next_wait(0s, 0s) == 10ms);
}
