#include <csignal>
#include <cstdlib>
#include <iostream>
#include <random>

#include "crash/crash_fixture.hpp"

using namespace csrq;
using namespace csrq::test;
using namespace std::chrono_literals;

namespace {

constexpr int killed = 128 + SIGKILL;

/// Kills a worker that is at the CA with a request of this kind, then lets another one end its row.
void kill_at(CrashSite& site, StubRequest kind, HoldPoint point, const std::string& name) {
  site.submit("customer of " + name, name);  // a fresh account each, so that newAccount is asked, too
  Hold hold = site.stub.hold_next(kind, point);
  const auto victim = site.start({"run"});
  hold.wait_until_reached();
  victim->signal(SIGKILL);
  CHECK(victim->wait(10s) == killed);
  hold.release();
  site.time_passes();
  CHECK(site.run({"run"}) == 0);
}

std::int64_t certificates_for(CrashSite& site, const std::string& name) {
  const auto certificates = site.stub.certificates();
  return std::ranges::count_if(certificates,
                               [&](const StubCertificate& one) { return one.names.front() == name; });
}

}  // namespace

TEST_CASE("a worker killed while the CA has any one of its requests loses nothing and doubles nothing") {
  CrashSite site;
  site.stub.change([](StubBehaviour& behaviour) { behaviour.looks_until_issued = 1; });
  int number = 0;
  for (const StubRequest kind :
       {StubRequest::new_account, StubRequest::new_order, StubRequest::authorization, StubRequest::challenge,
        StubRequest::finalize, StubRequest::order, StubRequest::certificate}) {
    for (const HoldPoint point : {HoldPoint::before, HoldPoint::after}) {
      const std::string name = "n" + std::to_string(++number) + ".example";
      CAPTURE(to_string(kind));
      CAPTURE(static_cast<int>(point));
      kill_at(site, kind, point, name);
      CHECK(certificates_for(site, name) == 1);
    }
  }
  CHECK(site.count("csrq.request WHERE status = 'issued'") == number);
  CHECK(site.damage() == "");
}

TEST_CASE(
    "a worker killed while it orders a renewal, or asks when to, leaves one renewal and a known window") {
  CrashSite site;
  site.stub.change([](StubBehaviour& behaviour) {
    behaviour.offers_renewal_info = true;
    behaviour.counts_open_replacements = true;
  });
  int number = 0;
  for (const HoldPoint point : {HoldPoint::before, HoldPoint::after}) {
    const std::string name = "r" + std::to_string(++number) + ".example";
    const auto id = site.submit("acme", name);
    CHECK(site.run({"run"}) == 0);
    site.sql().run("SELECT csrq.renew(" + std::to_string(id) + ")");
    Hold order = site.stub.hold_next(StubRequest::new_order, point);
    const auto victim = site.start({"run"});
    order.wait_until_reached();
    victim->signal(SIGKILL);
    CHECK(victim->wait(10s) == killed);
    order.release();
    site.time_passes();
    CHECK(site.run({"run"}) == 0);
    CHECK(certificates_for(site, name) == 2);

    site.sql().run("UPDATE csrq.renewal_info SET check_at = now() - interval '1 second'");
    Hold question = site.stub.hold_next(StubRequest::renewal_info, point);
    const auto asking = site.start({"run"});
    question.wait_until_reached();
    asking->signal(SIGKILL);
    CHECK(asking->wait(10s) == killed);
    question.release();
    site.sql().run("UPDATE csrq.renewal_info SET claimed_until = now() - interval '1 second'");
    CHECK(site.run({"run"}) == 0);
    CHECK(site.count("csrq.renewal_info WHERE window_start IS NULL") == 0);
  }
  CHECK(site.damage() == "2 names with two certificates");  // the first one and its renewal, of each
}

TEST_CASE("a stopped worker that wakes up after its lease was taken writes nothing") {
  CrashSite site;
  site.submit("acme", "sleeper.example");
  Hold hold = site.stub.hold_next(StubRequest::certificate, HoldPoint::after);
  const auto sleeper = site.start({"run"});
  hold.wait_until_reached();
  sleeper->signal(SIGSTOP);
  site.time_passes();
  hold.release();
  CHECK(site.run({"run"}) == 0);
  const std::string written = site.sql().value("SELECT xmin::text || updated_at FROM csrq.request");
  sleeper->signal(SIGCONT);
  CHECK(sleeper->wait(30s) == 0);
  CHECK(site.sql().value("SELECT xmin::text || updated_at FROM csrq.request") == written);
  CHECK(site.count("csrq.certificate") == 1);
  CHECK(site.damage() == "");
}

TEST_CASE("a row cancelled in any state leaves nothing at the CA") {
  CrashSite site;
  int number = 0;
  for (const StubRequest kind :
       {StubRequest::new_order, StubRequest::authorization, StubRequest::challenge}) {
    const auto id = site.submit("acme", "c" + std::to_string(++number) + ".example");
    Hold hold = site.stub.hold_next(kind, HoldPoint::after);
    const auto worker = site.start({"run"});
    hold.wait_until_reached();
    site.sql().run("SELECT csrq.cancel(" + std::to_string(id) + ")");
    hold.release();
    CHECK(worker->wait(30s) == 0);
    CHECK(site.run({"authz", "sweep"}) == 0);
  }
  CHECK(site.count("csrq.request WHERE status = 'cancelled'") == 3);
  CHECK(site.damage() == "");
}

TEST_CASE("a CA that is away costs no row a failure, and rows go on when it is back") {
  CrashSite site;
  site.submit("acme", "away.example");
  site.stub.fail_next(StubRequest::new_order, faults::cut_before(), 1);
  CHECK(site.run({"run"}) == 0);  // it waits for the CA, which is back at the next look
  CHECK(site.sql().value("SELECT status FROM csrq.request") == "issued");
  CHECK(site.count("csrq.event WHERE what = 'failed'") == 0);
  CHECK(site.damage() == "");
}

/// Longer by hand: CSRQ_CRASH_KILLS=1000 build/release/csrq_crash_tests --test-case='*random*'
TEST_CASE(
    "workers killed at random under load, with PostgreSQL crashing in between, leave nothing lost, doubled "
    "or behind") {
  const char* wanted =
      std::getenv("CSRQ_CRASH_KILLS");  // NOLINT(concurrency-mt-unsafe): nothing sets the environment
  const int kills = wanted ? std::atoi(wanted) : 12;
  constexpr int rows_per_kill = 6;
  CrashSite site;
  site.stub.change([](StubBehaviour& behaviour) {
    behaviour.looks_until_issued = 1;
    behaviour.looks_until_validated = 1;
    behaviour.reject_nonces_percent = 20;
    behaviour.failing_names["bad.example"] = {{"type", "urn:ietf:params:acme:error:dns"},
                                              {"detail", "no such name"}};
  });
  std::minstd_rand random(static_cast<unsigned>(kills));
  int rows = 0;
  int crashes = 0;
  for (int kill = 0; kill < kills; ++kill) {
    for (int i = 0; i < rows_per_kill; ++i, ++rows)
      site.submit("customer" + std::to_string(rows % 4), "r" + std::to_string(rows) + ".example");
    const auto first = site.start({"work"});
    const auto second = site.start({"work"});
    const std::uint64_t until = site.stub.requests() + 5 + random() % 60;
    const auto deadline = std::chrono::steady_clock::now() + 5s;  // when all that is left waits for later
    while (site.stub.requests() < until && site.count("csrq.job WHERE status <> 'parked'") > 0 &&
           std::chrono::steady_clock::now() < deadline)
      std::this_thread::yield();
    if (kill % 4 == 3) {
      ++crashes;
      cluster().restart(embedded::Shutdown::immediate);
      site.connect();
    }
    first->signal(SIGKILL);
    second->signal(kill % 2 == 0 ? SIGKILL : SIGTERM);
    first->wait(30s);
    second->wait(30s);
    site.time_passes();
  }
  for (int round = 0; round < 20 && site.count("csrq.job") > 0; ++round) {
    site.time_passes();
    site.run({"run"});
    site.sql().run("SELECT csrq.retry(everything => true)");  // those whose workers died five times in a row
  }
  site.run({"authz", "sweep"});
  std::cout << "killed at random: " << kills << " rounds with 2 workers, " << crashes
            << " crashes of PostgreSQL, " << rows << " rows\n";
  CHECK(site.count("csrq.request WHERE status = 'issued'") == rows);
  CHECK(site.damage() == "");
}

#ifdef CSRQ_FAILPOINTS
TEST_CASE("a worker killed at each named step loses nothing and doubles nothing") {
  CrashSite site;
  site.stub.change([](StubBehaviour& behaviour) { behaviour.looks_until_issued = 1; });
  std::vector<std::string> failpoints;
  for (const char* request : {"directory", "newNonce", "newAccount", "newOrder", "authorization",
                              "challenge response", "order", "finalize", "certificate download"})
    for (const char* place : {"before request:", "after request:"})
      failpoints.push_back(std::string(place) + request + ":1");
  for (int commit = 1; commit <= 10; ++commit)
    for (const char* place : {"before commit:csrq:", "after commit:csrq:"})
      failpoints.push_back(place + std::to_string(commit));
  int number = 0;
  for (const std::string& failpoint : failpoints) {
    CAPTURE(failpoint);
    const std::string name = "f" + std::to_string(++number) + ".example";
    site.submit("customer of " + name, name);
    CHECK(site.run({"run"}, failpoint) == killed);
    site.time_passes();
    CHECK(site.run({"run"}) == 0);
    CHECK(certificates_for(site, name) == 1);
  }
  CHECK(site.count("csrq.request WHERE status = 'issued'") == number);
  CHECK(site.damage() == "");
}
#endif
