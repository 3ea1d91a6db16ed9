#include <doctest/doctest.h>

#include "config/config.hpp"
#include "support/issuing_fixture.hpp"

using namespace std::chrono_literals;
using namespace csrq;
using namespace csrq::test;
using acme::EndpointClass;
using acme::Pacer;
using Kind = StubRequest;

namespace {

void submit_many(StubIssuing& world, int count) {
  for (int i = 0; i < count; ++i) world.submit({"n" + std::to_string(i) + ".example"});
}

Pacer& pacer_of(StubIssuing& world) {
  return world.worker().cas.find("").ca.pacer();
}

}  // namespace

TEST_CASE("a CA's limits are never exceeded, whatever the number of rows and threads") {
  StubIssuing world;
  world.stub.limit(Kind::new_nonce, 10);
  world.stub.limit(Kind::new_order, 15);
  world.stub.limit(Kind::order, 120);
  world.ca_config().requests_per_second = {.new_nonce = 10, .new_order = 15, .other = 120};
  submit_many(world, 40);
  CHECK(world.run().issued == 40);
  CHECK(world.stub.turned_away() == 0);
  CHECK(world.stub.requests(Kind::new_order) == 40);
  CHECK(pacer_of(world).statistics(EndpointClass::new_order).waited > 1s);
  CHECK(pacer_of(world).statistics(EndpointClass::new_order).busy == 0);
}

TEST_CASE("the limits are divided among the workers that are alive") {
  StubIssuing world;
  world.ca_config().requests_per_second = {.new_order = 100};
  world.worker();
  for (int other = 0; other < 3; ++other)
    store::worker_start(world.worker().database, "other", other, "test");
  world.sql.run("UPDATE csrq.worker SET heartbeat_at = now() - interval '2 minutes' WHERE pid = 2");
  CHECK(pacer_of(world).rate(EndpointClass::new_order, Pacer::Clock::now()) == doctest::Approx(80));
  world.submit({"a.example"});
  CHECK(world.run().issued == 1);
  CHECK(pacer_of(world).rate(EndpointClass::new_order, Pacer::Clock::now()) == doctest::Approx(80.0 / 3));
}

TEST_CASE(
    "a busy CA is asked less often, in the class that was refused, and the row is issued all the same") {
  StubIssuing world;
  world.ca_config().requests_per_second = {.new_order = 100, .other = 100};
  world.stub.fail_next(Kind::new_order,
                       faults::problem(503, "rateLimited", "Service busy; retry later.", {}, "1"));
  const auto id = world.submit({"a.example"});
  CHECK(world.run().issued == 1);
  CHECK(world.job(id, "failures") == "");
  CHECK(world.stub.requests(Kind::new_order) == 2);
  const Pacer::Clock::time_point now = Pacer::Clock::now();
  CHECK(pacer_of(world).rate(EndpointClass::new_order, now) < 60);
  CHECK(pacer_of(world).rate(EndpointClass::other, now) == doctest::Approx(80));
  CHECK(pacer_of(world).statistics(EndpointClass::new_order).busy == 1);
}

TEST_CASE("a limit that was not known is learnt from a CA that turns requests away, and no row fails") {
  StubIssuing world;
  world.stub.limit(Kind::order, 40);
  submit_many(world, 30);
  const workers::Tally tally = world.run();
  CHECK(tally.issued == 30);
  CHECK(tally.failed == 0);
  CHECK(world.stub.turned_away() > 0);
  CHECK(pacer_of(world).rate(EndpointClass::other, Pacer::Clock::now()) > 0);
}

TEST_CASE("a request that is not sent because its turn is far away costs neither a failure nor the intent") {
  StubIssuing world({.order_list_page = 0});
  world.ca_config().requests_per_second = {.new_order = 1};
  Pacer& pacer = pacer_of(world);
  while (!pacer.take_turn(EndpointClass::new_order, Pacer::Clock::now()).is_too_far) continue;
  const auto id = world.submit({"a.example"});
  CHECK(world.run().issued == 1);
  CHECK(pacer.statistics(EndpointClass::new_order).sent_away > 1);
  CHECK(world.stub.requests(Kind::new_order) == 1);
  CHECK(world.count("acme_order") == "1");
  CHECK(world.count("rate_hold") == "0");
  CHECK(world.row(id).error.is_null());
}
