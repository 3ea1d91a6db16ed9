#include "proofs/self_checks.hpp"

#include <doctest/doctest.h>

#include <future>
#include <latch>
#include <thread>

using namespace csrq;
using namespace csrq::proofs;

namespace {

/// A look that takes until the test ends it.
class SlowLook {
 public:
  explicit SlowLook(int looks) : begun(looks) {}

  void operator()() {
    begun.count_down();
    over.wait();
  }

  std::latch begun;
  std::latch over{1};
};

/// Notes whom it looks at.
class Noting {
 public:
  void operator()(const Answer& answer) { seen += answer.identifier.value + " "; }

  std::string seen{};
};

std::vector<Answer> answers(const std::vector<std::string>& names) {
  std::vector<Answer> all;
  all.reserve(names.size());
  for (const std::string& name : names) all.push_back({.identifier = identifier_from(name)});
  return all;
}

SelfChecks::Look by(Noting& noting) {
  return [&noting](http::Client&, const Answer& answer) { noting(answer); };
}

SelfChecks::Look by(SlowLook& slow) {
  return [&slow](http::Client&, const Answer&) { slow(); };
}

/// Tasks of a customer that look at the same time.
std::vector<std::future<bool>> looks(SelfChecks& checks, SlowLook& look, const std::string& customer,
                                     int tasks) {
  std::vector<std::future<bool>> running;
  running.reserve(static_cast<std::size_t>(tasks));
  for (int i = 0; i < tasks; ++i)
    running.push_back(std::async(std::launch::async, [&checks, &look, customer] {
      std::vector<Answer> one = answers({"a.example"});
      return checks.have_seen(one, by(look), customer);
    }));
  return running;
}

}  // namespace

TEST_CASE(
    "a quarter of the threads look at answers at once, of one customer half of these, and nobody waits") {
  SelfChecks checks({}, 16);
  SlowLook slow(4);
  auto bobs = looks(checks, slow, "bob", 2);
  auto carols = looks(checks, slow, "carol", 2);
  slow.begun.wait();
  std::vector<Answer> another = answers({"b.example"});
  CHECK_FALSE(checks.have_seen(another, by(slow), "bob"));
  CHECK_FALSE(checks.have_seen(another, by(slow), "alice"));
  slow.over.count_down();
  for (auto& look : bobs) CHECK(look.get());
  for (auto& look : carols) CHECK(look.get());
  CHECK(checks.have_seen(another, by(slow), "alice"));
}

TEST_CASE("what a customer's own names cost does not keep another customer's from being looked at") {
  SelfChecks checks({}, 8);
  SlowLook slow(1);
  auto bobs = looks(checks, slow, "bob", 1);
  slow.begun.wait();
  Noting look;
  std::vector<Answer> alices = answers({"a.example"});
  CHECK(checks.have_seen(alices, by(look), "alice"));
  slow.over.count_down();
}

TEST_CASE("answers that were seen are not looked at again") {
  SelfChecks checks({}, 4);
  Noting look;
  std::vector<Answer> all = answers({"a.example", "b.example"});
  all.front().is_placed = true;
  CHECK(checks.have_seen(all, by(look), "alice"));
  CHECK(look.seen == "b.example ");
  CHECK(checks.have_seen(all, by(look), "alice"));
  CHECK(look.seen == "b.example ");
}
