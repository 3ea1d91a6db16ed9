#include "issuance/self_checks.hpp"

#include <doctest/doctest.h>

#include <future>
#include <latch>
#include <thread>

using namespace csrq;
using namespace csrq::issuance;

namespace {

/// A solver whose look takes until the test ends it.
class SlowSolver final : public challenges::Solver {
 public:
  explicit SlowSolver(int looks) : begun(looks) {}

  std::string_view type() const override { return "http-01"; }
  std::string why_not(const Identifier&) const override { return {}; }
  void self_check(http::Client&, const Identifier&, const std::string&, const std::string&) const override {
    begun.count_down();
    over.wait();
  }

  mutable std::latch begun;
  mutable std::latch over{1};
};

/// A solver that notes whom it looks at.
class Noting final : public challenges::Solver {
 public:
  std::string_view type() const override { return "http-01"; }
  std::string why_not(const Identifier&) const override { return {}; }
  void self_check(http::Client&, const Identifier& identifier, const std::string&,
                  const std::string&) const override {
    seen += identifier.value + " ";
  }

  mutable std::string seen{};
};

std::vector<Response> responses(const std::vector<std::string>& names) {
  std::vector<Response> all;
  all.reserve(names.size());
  for (const std::string& name : names) all.push_back({.identifier = identifier_from(name)});
  return all;
}

/// Tasks of a customer that look at the same time.
std::vector<std::future<bool>> looks(SelfChecks& checks, const SlowSolver& solver,
                                     const std::string& customer, int tasks) {
  std::vector<std::future<bool>> running;
  running.reserve(static_cast<std::size_t>(tasks));
  for (int i = 0; i < tasks; ++i)
    running.push_back(std::async(std::launch::async, [&checks, &solver, customer] {
      std::vector<Response> one = responses({"a.example"});
      return checks.have_seen(one, solver, customer);
    }));
  return running;
}

}  // namespace

TEST_CASE(
    "a quarter of the threads look at responses at once, of one customer half of these, and nobody waits") {
  SelfChecks checks({}, 16);
  const SlowSolver solver(4);
  auto bobs = looks(checks, solver, "bob", 2);
  auto carols = looks(checks, solver, "carol", 2);
  solver.begun.wait();
  std::vector<Response> another = responses({"b.example"});
  CHECK_FALSE(checks.have_seen(another, solver, "bob"));
  CHECK_FALSE(checks.have_seen(another, solver, "alice"));
  solver.over.count_down();
  for (auto& look : bobs) CHECK(look.get());
  for (auto& look : carols) CHECK(look.get());
  CHECK(checks.have_seen(another, solver, "alice"));
}

TEST_CASE("what a customer's own names cost does not keep another customer's from being looked at") {
  SelfChecks checks({}, 8);
  const SlowSolver slow(1);
  auto bobs = looks(checks, slow, "bob", 1);
  slow.begun.wait();
  const Noting solver;
  std::vector<Response> alices = responses({"a.example"});
  CHECK(checks.have_seen(alices, solver, "alice"));
  slow.over.count_down();
}

TEST_CASE("responses that were seen are not looked at again") {
  SelfChecks checks({}, 4);
  const Noting solver;
  std::vector<Response> all = responses({"a.example", "b.example"});
  all.front().is_seen = true;
  CHECK(checks.have_seen(all, solver, "alice"));
  CHECK(solver.seen == "b.example ");
  CHECK(checks.have_seen(all, solver, "alice"));
  CHECK(solver.seen == "b.example ");
}
