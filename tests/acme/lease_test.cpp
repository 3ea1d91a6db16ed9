#include <doctest/doctest.h>

#include <mutex>
#include <set>

#include "config/config.hpp"
#include "support/issuing_fixture.hpp"

using namespace csrq;
using namespace csrq::test;
using Kind = StubRequest;

namespace {

/// As if the worker of every lease had died two minutes ago.
void workers_seem_dead(StubIssuing& world) {
  world.sql.run("UPDATE csrq.worker SET heartbeat_at = now() - interval '2 minutes'");
}

}  // namespace

TEST_CASE("a row cancelled before its challenges are answered: the CA is asked for nothing more") {
  StubIssuing world;
  const auto id = world.submit({"a.example"});
  Hold hold = world.stub.hold_next(Kind::authorization, HoldPoint::after);
  RunningBatch batch = world.start_run();
  hold.wait_until_reached();
  store::cancel(world.database, id);
  hold.release();
  CHECK(batch.wait().dropped == 1);
  CHECK(world.row(id).status == "cancelled");
  CHECK(world.job(id, "status") == "");
  CHECK(world.stub.requests(Kind::challenge) == 0);
  CHECK(world.count("acme_order WHERE closed_at IS NULL") == "0");
}

TEST_CASE("a row cancelled while its certificate is on its way gets no chain") {
  StubIssuing world;
  const auto id = world.submit({"a.example"});
  Hold hold = world.stub.hold_next(Kind::certificate);
  RunningBatch batch = world.start_run();
  hold.wait_until_reached();
  store::cancel(world.database, id);
  hold.release();
  CHECK(batch.wait().dropped == 1);
  const Row row = world.row(id);
  CHECK(row.status == "cancelled");
  CHECK(row.chain == "");
  CHECK(world.job(id, "status") == "");
  CHECK(world.count("certificate") == "1");
  CHECK(world.count("acme_challenge WHERE key_authorization IS NOT NULL") == "0");
}

TEST_CASE(
    "a worker that lost its lease writes nothing, and the row's next worker went on with the same order") {
  for (const Kind held : {Kind::new_order, Kind::authorization, Kind::finalize, Kind::certificate}) {
    CAPTURE(to_string(held));
    StubIssuing world;
    TestWorker other(world.config, world.keyring);
    const auto id = world.submit({"a.example"});
    Hold hold = world.stub.hold_next(held, HoldPoint::after);
    RunningBatch slow = world.start_run();
    hold.wait_until_reached();
    workers_seem_dead(world);
    CHECK(other.run().issued == 1);
    const Row written = world.row(id);
    CHECK(written.status == "issued");
    hold.release();
    const workers::Tally tally = slow.wait();
    CHECK(tally.dropped == 1);
    CHECK(tally.issued == 0);
    CHECK(world.row(id).chain == written.chain);
    CHECK(world.count("certificate") == "1");
    CHECK(world.count("acme_order") == "1");
    CHECK(world.stub.issued() == 1);
    CHECK(world.stub.orders().size() == 1);
  }
}

TEST_CASE("a worker that lost its lease after a failure at the CA leaves the row alone") {
  StubIssuing world;
  TestWorker other(world.config, world.keyring);
  const auto id = world.submit({"a.example"});
  world.stub.fail_next(Kind::certificate, faults::status(404));
  Hold hold = world.stub.hold_next(Kind::certificate);
  RunningBatch slow = world.start_run();
  hold.wait_until_reached();
  workers_seem_dead(world);
  world.stub.fail_next(Kind::order, faults::status(500));
  CHECK(other.run().failed == 1);
  const std::string code = world.row(id).code();
  const double due_in = world.due_in(id);
  hold.release();
  CHECK(slow.wait().dropped == 1);
  CHECK(world.row(id).code() == code);
  CHECK(world.due_in(id) == doctest::Approx(due_in).epsilon(0.1));
  CHECK(world.job(id, "failures") == "1");
}

TEST_CASE("a worker that is stopped in a step finishes the step and gives the rest back") {
  StubIssuing world;
  world.config.worker.threads = 1;
  for (int i = 0; i < 20; ++i) world.submit({"n" + std::to_string(i) + ".example"});
  Hold hold = world.stub.hold_next(Kind::new_order);
  TestWorker& worker = world.worker();
  workers::Issuer issuer(worker.config, worker.database, worker.coordination, worker.cas, worker.accounts,
                         {});
  RunningBatch batch([&] {
    issuer.work();
    return issuer.tally();
  });
  hold.wait_until_reached();
  issuer.stop();
  hold.release();
  batch.wait();
  CHECK(world.count("job WHERE status = 'leased'") == "0");
  CHECK(world.count("job WHERE status = 'ready' AND attempt = 0") == "20");
  CHECK(world.count("acme_order WHERE url IS NOT NULL") == "1");
  CHECK(world.run().issued == 20);
  CHECK(world.stub.issued() == 20);
  CHECK(world.stub.orders().size() == 20);
}

TEST_CASE("two workers on one database never take the same row") {
  constexpr int rows = 120;
  StubIssuing world;
  world.config.worker.in_flight = 10;  // neither can take all at once
  world.stub.change([](StubBehaviour& ca) { ca.looks_until_issued = 1; });
  TestWorker other(world.config, world.keyring);
  for (int i = 0; i < rows; ++i)
    world.submit({"n" + std::to_string(i) + ".example"}, "customer-" + std::to_string(i % 4));
  std::mutex mutex;
  std::multiset<store::RequestId> finished;
  const workers::IssuerObserver observer{.finished = [&](const workers::Outcome& outcome) {
    const std::lock_guard lock(mutex);
    finished.insert(outcome.request);
  }};
  RunningBatch first([&] { return world.worker().run(rows, observer); });
  RunningBatch second([&] { return other.run(rows, observer); });
  const std::int64_t issued_by_first = first.wait().issued;
  const std::int64_t issued_by_second = second.wait().issued;
  CHECK(issued_by_first + issued_by_second == rows);
  CHECK(issued_by_first > 0);
  CHECK(issued_by_second > 0);
  CHECK(std::set(finished.begin(), finished.end()).size() == rows);
  CHECK(finished.size() == rows);
  CHECK(world.stub.issued() == rows);
  CHECK(world.stub.orders().size() == rows);
  CHECK(world.stub.accounts().size() == 4);
  CHECK(world.count("request WHERE status = 'issued'") == std::to_string(rows));
  CHECK(world.count("certificate") == std::to_string(rows));
}

TEST_CASE("of one account no more orders are in flight at once than configured, over all workers") {
  constexpr int rows = 24;
  StubIssuing world;
  world.config.accounts.in_flight = 4;
  world.stub.change([](StubBehaviour& ca) { ca.looks_until_issued = 1; });
  TestWorker other(world.config, world.keyring);
  for (int i = 0; i < rows; ++i) world.submit({"n" + std::to_string(i) + ".example"});
  RunningBatch first([&] { return world.worker().run(rows); });
  RunningBatch second([&] { return other.run(rows); });
  const std::int64_t issued = first.wait().issued + second.wait().issued;
  world.sql.run("UPDATE csrq.job SET run_at = now()");  // one that came too many waits
  CHECK(issued + world.run(rows).issued == rows);
  // Each of two claims at one instant may take what is left.
  CHECK(std::stoi(world.sql.value("SELECT max((SELECT count(*) FROM csrq.acme_order b WHERE b.created_at <= "
                                  "a.created_at AND b.closed_at > a.created_at))"
                                  "  FROM csrq.acme_order a")) <= 8);
}

TEST_CASE("a batch takes no more rows than it was told to") {
  StubIssuing world;
  for (int i = 0; i < 10; ++i) world.submit({"n" + std::to_string(i) + ".example"});
  CHECK(world.run(3).claimed == 3);
  CHECK(world.stub.issued() == 3);
  CHECK(world.count("job WHERE status = 'ready'") == "7");
}

TEST_CASE(
    "while no CA is in reach a worker leaves its rows in the queue; of two CAs one is enough to claim") {
  StubIssuing world;
  SUBCASE("the only one") {}
  SUBCASE("one of two") {
    world.config.cas["other"] = world.ca_config();
  }
  const bool has_other = world.config.cas.size() == 2;
  for (int i = 0; i < 20; ++i) world.submit({"n" + std::to_string(i) + ".example"});
  cas::Outage& outage = world.worker().cas.find("").outage;
  const auto now = cas::Outage::Clock::now();
  outage.failed(now, now);
  outage.failed(now, now + std::chrono::hours(1));
  REQUIRE(outage.remaining(now) > std::chrono::minutes(1));
  world.run();
  CHECK(world.count("job WHERE attempt = 0") == (has_other ? "0" : "20"));
  CHECK(world.count("request WHERE error ->> 'code' = 'ca_out_of_reach'") == (has_other ? "20" : "0"));
  CHECK(world.stub.requests(Kind::new_order) == 0);
  outage.answered(now);
  world.sql.run("UPDATE csrq.job SET run_at = now()");
  CHECK(world.run().issued == 20);
}

TEST_CASE("a revocation waits as well while its CA is out of reach") {
  StubIssuing world;
  world.config.cas["other"] = world.ca_config();
  const auto id = world.submit({"a.example"});
  REQUIRE(world.run().issued == 1);
  REQUIRE(store::revoke(world.database, id, 4));
  cas::Outage& outage = world.worker().cas.find_by_directory(world.stub.directory_url())->outage;
  const auto now = cas::Outage::Clock::now();
  outage.failed(now, now);
  outage.failed(now, now + std::chrono::hours(1));
  CHECK(world.run().put_off == 1);
  CHECK(world.row(id).code() == "ca_out_of_reach");
  CHECK(world.stub.requests(Kind::revoke) == 0);
  outage.answered(now);
  world.make_due(id);
  CHECK(world.run().revoked == 1);
}
