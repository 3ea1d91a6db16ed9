#include <doctest/doctest.h>

#include "cas/rate_limits.hpp"
#include "config/config.hpp"
#include "http/retry_after.hpp"
#include "support/issuing_fixture.hpp"

using namespace std::chrono_literals;
using namespace csrq;
using namespace csrq::test;
using Kind = StubRequest;
using nlohmann::json;

namespace {

json problem(const std::string& type, const std::string& detail, int status) {
  return {{"type", "urn:ietf:params:acme:error:" + type}, {"detail", detail}, {"status", status}};
}

/// As a CA writes it (RFC 9110 §5.6.7).
std::string http_date(Time time) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(
      std::chrono::time_point_cast<std::chrono::system_clock::duration>(time));
  std::tm calendar{};
  gmtime_r(&seconds, &calendar);
  std::string text(64, '\0');
  text.resize(std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &calendar));
  return text;
}

}  // namespace

TEST_CASE("a problem document is kept whole in the row, subproblems and unknown members included") {
  StubIssuing world;
  const json subproblems = json::array(
      {{{"type", "urn:ietf:params:acme:error:rejectedIdentifier"},
        {"detail", "this one is on our list"},
        {"identifier", {{"type", "dns"}, {"value", "b.example"}}}},
       {{"type", "urn:ietf:params:acme:error:malformed"}, {"detail", "odd \xc3\xbc"}, {"extra", 7}}});
  world.stub.fail_next(Kind::new_order,
                       faults::problem(400, "rejectedIdentifier", "some names are refused",
                                       {{"subproblems", subproblems}, {"instance", "/help"}}));
  const auto id = world.submit({"a.example", "b.example"});
  CHECK(world.run().failed == 1);
  const Row row = world.row(id);
  CHECK(row.status == "failed");
  CHECK(row.failure_class() == "permanent");
  CHECK(row.code() == "rejectedIdentifier");
  CHECK(row.error["type"] == "urn:ietf:params:acme:error:rejectedIdentifier");
  CHECK(row.error["status"] == 400);
  CHECK(row.error["instance"] == "/help");
  CHECK(row.error["subproblems"] == subproblems);
}

TEST_CASE("each kind of refusal does to the row what its class says") {
  struct Case {
    int http_status;
    std::string type;
    std::string failure_class;
    std::string status;
  };
  for (const Case& one :
       {Case{400, "badCSR", "permanent", "failed"},
        Case{403, "userActionRequired", "administrative", "pending"},
        Case{403, "unauthorized", "permanent", "failed"}, Case{403, "caa", "validation", "pending"},
        Case{409, "conflict", "transient", "pending"}, Case{400, "malformed", "transient", "pending"},
        Case{500, "serverInternal", "transient", "pending"},
        Case{400, "somethingNew", "permanent", "failed"}}) {
    CAPTURE(one.type);
    StubIssuing world;
    world.stub.fail_next(Kind::finalize, faults::problem(one.http_status, one.type, "no"));
    const auto id = world.submit({"a.example"});
    CHECK(world.run().failed == 1);
    CHECK(world.row(id).code() == (std::string_view(one.type) == "somethingNew" ? "http_400" : one.type));
    CHECK(world.row(id).failure_class() == one.failure_class);
    CHECK(world.row(id).status == one.status);
    CHECK(world.job(id, "status") == (one.status == "failed" ? "parked" : "ready"));
  }
}

TEST_CASE("a failed validation is written down with the CA's words, and the next attempt opens a new order") {
  StubIssuing world;
  const json failure = problem("dns", "no valid A records found for b.example", 400);
  world.stub.change([&](StubBehaviour& ca) { ca.failing_names["b.example"] = failure; });
  const auto id = world.submit({"a.example", "b.example"});
  CHECK(world.run().failed == 1);
  const Row row = world.row(id);
  CHECK(row.status == "pending");
  CHECK(row.code() == "dns");
  CHECK(row.failure_class() == "validation");
  CHECK(row.detail().find("b.example: no valid A records") != std::string::npos);
  CHECK(row.error["subproblems"][0]["identifier"]["value"] == "b.example");
  CHECK(row.error["subproblems"].size() == 1);
  CHECK(world.due_in(id) == doctest::Approx(60).epsilon(0.1));
  CHECK(world.count("acme_order WHERE status = 'invalid' AND closed_at IS NOT NULL") == "1");
  CHECK(world.count("acme_authorization WHERE identifier = 'b.example' AND status = 'invalid'") == "1");
  CHECK(world.count("acme_challenge WHERE key_authorization IS NOT NULL") == "0");
  CHECK(world.count("acme_challenge WHERE error->>'detail' LIKE 'no valid A records%'") == "1");

  world.stub.change([](StubBehaviour& ca) { ca.failing_names.clear(); });
  world.make_due(id);
  CHECK(world.run().issued == 1);
  CHECK(world.row(id).error.is_null());
  CHECK(world.stub.orders().size() == 2);
  CHECK(world.stub.issued() == 1);
}

TEST_CASE("failures in a row back off by the schedule: a minute, ten, a hundred, a day") {
  StubIssuing world;
  world.stub.change(
      [](StubBehaviour& ca) { ca.failing_names["a.example"] = problem("connection", "no", 400); });
  const auto id = world.submit({"a.example"});
  for (const double expected : {60.0, 600.0, 6000.0, 86400.0, 86400.0}) {
    world.make_due(id);
    world.run();
    CHECK(world.due_in(id) == doctest::Approx(expected).epsilon(0.05));
  }
}

TEST_CASE("one name's failing validation delays no other row") {
  StubIssuing world;
  world.stub.change([](StubBehaviour& ca) { ca.failing_names["bad.example"] = problem("caa", "no", 403); });
  world.submit({"bad.example"});
  for (int i = 0; i < 10; ++i) world.submit({"n" + std::to_string(i) + ".example"});
  const workers::Tally tally = world.run();
  CHECK(tally.failed == 1);
  CHECK(tally.issued == 10);
}

TEST_CASE("an order that is invalid without a reason backs off") {
  StubIssuing world;
  world.stub.change(
      [](StubBehaviour& ca) { ca.edit_order = [](json& order) { order["status"] = "invalid"; }; });
  const auto id = world.submit({"a.example"});
  CHECK(world.run().failed == 1);
  CHECK_MESSAGE(world.row(id).code() == "order_invalid", world.row(id).error.dump());
  CHECK(world.row(id).failure_class() == "transient");
}

TEST_CASE("a status that the RFC does not know counts as invalid") {
  StubIssuing world;
  world.stub.change(
      [](StubBehaviour& ca) { ca.edit_order = [](json& order) { order["status"] = "deactivated"; }; });
  const auto id = world.submit({"a.example"});
  CHECK(world.run().failed == 1);
  CHECK_MESSAGE(world.row(id).code() == "order_invalid", world.row(id).error.dump());
}

TEST_CASE("answers that are not JSON are a passing failure that says what came") {
  struct Case {
    Fault fault;
    std::string words;
  };
  for (const Kind kind :
       {Kind::new_account, Kind::new_order, Kind::authorization, Kind::order, Kind::finalize}) {
    StubIssuing world;
    for (const Case& one : {Case{faults::body("application/json", "{\"status\":"), "not a JSON object"},
                            Case{faults::body("text/html", "<html>hello</html>"), "HTML"},
                            Case{faults::body("application/json", "[]"), "not a JSON object"},
                            Case{faults::body("application/json", ""), ""}}) {
      CAPTURE(to_string(kind));
      CAPTURE(one.words);
      const std::uint64_t issued_before = world.stub.issued();
      world.stub.fail_next(kind, one.fault);
      const auto id = world.submit({"a.example"}, "customer-" + std::to_string(issued_before));
      CHECK(world.run().failed == 1);
      const Row row = world.row(id);
      CHECK(row.status == "pending");
      CHECK(row.failure_class() == "transient");
      CHECK_MESSAGE(row.detail().find(one.words) != std::string::npos, row.detail());
      world.make_due(id);
      CHECK(world.run().issued == 1);
      CHECK(world.stub.issued() == issued_before + 1);
    }
  }
}

TEST_CASE("an answer larger than anything a CA has to say is not read") {
  StubIssuing world;
  world.stub.fail_next(Kind::order, faults::huge_body(4 << 20));
  const auto id = world.submit({"a.example"});
  CHECK(world.run().failed == 1);
  CHECK(world.row(id).code() == "oversize");
  world.make_due(id);
  CHECK(world.run().issued == 1);
}

TEST_CASE("a directory that is none: every row backs off and says so, and no account is made") {
  StubIssuing world;
  world.stub.fail_next(Kind::directory, faults::body("text/html", "<!doctype html><title>Welcome</title>"),
                       10);
  const auto id = world.submit({"a.example"});
  CHECK(world.run().failed == 1);
  CHECK(world.row(id).code() == "bad_directory");
  CHECK(world.row(id).detail().find("HTML") != std::string::npos);
  CHECK(world.stub.requests(Kind::new_account) == 0);
}

TEST_CASE("good nonces refused now and then cost requests, not rows") {
  StubIssuing world;
  world.stub.change([](StubBehaviour& ca) { ca.reject_nonces_percent = 10; });
  for (int i = 0; i < 20; ++i) world.submit({"n" + std::to_string(i) + ".example"});
  CHECK(world.run().issued == 20);
  CHECK(world.stub.requests(Kind::new_nonce) <= 8);  // one for each request under way at first
}

TEST_CASE("a CA that refuses every nonce is asked six times, then the row backs off") {
  StubIssuing world;
  world.stub.change([](StubBehaviour& ca) { ca.reject_nonces_percent = 100; });
  const auto id = world.submit({"a.example"});
  CHECK(world.run().failed == 1);
  CHECK(world.row(id).code() == "badNonce");
  CHECK(world.row(id).failure_class() == "transient");
  CHECK(world.stub.requests(Kind::new_account) == 6);
}

TEST_CASE("a limit of the account holds back its new orders, and nobody else's") {
  StubIssuing world;
  world.submit({"first.example"});
  world.run();
  world.stub.forget_requests();
  world.stub.fail_next(
      Kind::new_order,
      faults::problem(429, "rateLimited", "too many new orders (300) from this account recently",
                      json::object(), "3600", "https://stub.example/limits"));
  const auto limited = world.submit({"a.example"});
  CHECK(world.run().put_off == 1);
  CHECK(world.row(limited).status == "pending");
  CHECK(world.row(limited).failure_class() == "limited");
  CHECK(world.row(limited).code() == "rateLimited");
  CHECK(world.due_in(limited) == doctest::Approx(3600).epsilon(0.02));
  CHECK(world.job(limited, "failures") == "0");

  const auto same_account = world.submit({"b.example"});
  CHECK(world.run().claimed == 0);
  CHECK(world.row(same_account).status == "pending");
  CHECK(world.sql.value(
            "SELECT earliest_issue_at > now() + interval '50 minutes' FROM csrq.status WHERE id = " +
            std::to_string(store::number(same_account))) == "t");
  CHECK(world.stub.requests(Kind::new_order) == 1);

  world.submit({"c.example"}, "other");
  CHECK(world.run().issued == 1);
}

TEST_CASE("a row that is refused goes back into the queue however short the wait, and later each time") {
  StubIssuing world;
  world.stub.fail_next(Kind::new_order, faults::problem(429, "rateLimited", "slow down", json::object(), "0"),
                       1000);
  const auto id = world.submit({"a.example"});
  CHECK(world.run().put_off == 1);
  CHECK(world.stub.requests(Kind::new_order) == 1);
  CHECK(world.row(id).code() == "rateLimited");
  CHECK(world.job(id, "status") == "ready");
  CHECK(world.count("event WHERE what = 'put_off'") == "1");
  const double first = world.due_in(id);
  CHECK(first > 1);
  CHECK(first <= 5);
  for (int again = 0; again < 2; ++again) {
    world.sql.run("UPDATE csrq.rate_hold SET until = now()");
    world.make_due(id);
    CHECK(world.run().put_off == 1);
  }
  CHECK(world.due_in(id) > first + 5);
  CHECK(world.job(id, "failures") == "0");
}

TEST_CASE("a CA that is busy without end gets a row back into the queue") {
  StubIssuing world;
  world.worker();
  world.submit({"first.example"});
  world.run();
  world.stub.forget_requests();
  world.stub.fail_next(Kind::new_order, faults::status(503, "1"), 20);
  const auto id = world.submit({"a.example"});
  CHECK(world.run().put_off == 1);
  CHECK(world.row(id).code() == "http_503");
  CHECK(world.stub.requests(Kind::new_order) < 10);
}

TEST_CASE("a row that is refused makes room for those of others at once") {
  StubIssuing world;
  world.ca_config().orders_in_flight = 1;
  world.stub.fail_next(Kind::new_order,
                       faults::problem(429, "rateLimited", "slow down", json::object(), "50"));
  world.submit({"a.example"});
  world.submit({"b.example"}, "other");
  const auto start = std::chrono::steady_clock::now();
  const workers::Tally tally = world.run();
  CHECK(tally.put_off == 1);
  CHECK(tally.issued == 1);
  CHECK(std::chrono::steady_clock::now() - start < 40s);
}

TEST_CASE("a row that is held for less than a minute waits in the queue, where its reason is to be read") {
  StubIssuing world;
  const auto id = world.submit({"a.example"});
  world.sql.run(
      "INSERT INTO csrq.rate_hold (directory, scope, key, until, error, request_id) VALUES ('" +
      world.stub.directory_url() +
      "', 'registered_domain', 'a.example', now() + interval '40 s', '{\"detail\": \"slow down\"}', " +
      std::to_string(store::number(id)) + ")");
  CHECK(world.run().put_off == 1);
  CHECK(world.row(id).code() == "on_hold");
  CHECK(world.row(id).detail() == "slow down");
}

TEST_CASE("the limit of an unknown CA is learnt from its second refusal, and kept to without asking") {
  StubIssuing world;
  const auto refuse_next = [&] {
    world.stub.fail_next(Kind::new_order,
                         faults::problem(429, "rateLimited", "too many new orders", json::object(), "3600"));
  };
  const auto wait_is_over = [&] {
    world.sql.run(
        "UPDATE csrq.rate_hold SET until = now(), counted_from = now() - interval '1 second', refused_at = "
        "now() - interval '1 hour'");
    world.sql.run("UPDATE csrq.job SET run_at = now()");
  };
  world.submit({"a.example"});
  refuse_next();
  CHECK(world.run().put_off == 1);
  CHECK(world.count("rate_limit") == "0");
  wait_is_over();
  CHECK(world.run().issued == 1);
  world.submit({"b.example"});
  refuse_next();
  CHECK(world.run().put_off == 1);
  CHECK(world.count("rate_limit WHERE source = 'learnt' AND name = 'new_orders_per_account'") == "1");
  world.sql.run("DELETE FROM csrq.rate_hold");
  world.stub.forget_requests();
  const auto id = world.submit({"c.example"});
  world.run();
  CHECK(world.stub.requests(Kind::new_order) == 0);
  CHECK(world.sql.value("SELECT state FROM csrq.status WHERE id = " + std::to_string(store::number(id))) !=
        "issued");
}

TEST_CASE("an order that the CA has accepted goes on while new ones are held back") {
  StubIssuing world;
  const auto id = world.submit({"a.example"});
  world.stub.fail_next(Kind::challenge, faults::status(500));
  world.run();
  world.stub.fail_next(Kind::new_order,
                       faults::problem(429, "rateLimited", "too many new orders", json::object(), "900"));
  world.submit({"b.example"});
  CHECK(world.run().put_off == 1);
  world.make_due(id);
  CHECK(world.run().issued == 1);
}

TEST_CASE(
    "a paused name holds its rows behind one alarm, until csrq.retry finds that it is paused no longer") {
  StubIssuing world;
  world.submit({"first.example"});
  world.run();
  world.stub.forget_requests();
  const Fault pause =
      faults::problem(429, "rateLimited",
                      "Your account is temporarily prevented from requesting certificates for z.example and "
                      "possibly others. Please visit: https://ca.example/unpause");
  world.stub.fail_next(Kind::new_order, pause);
  const auto refused = world.submit({"a.example", "z.example"});
  CHECK(world.run().put_off == 1);
  const auto held = world.submit({"z.example"});
  world.submit({"b.example"});
  CHECK(world.run().issued == 1);
  CHECK(world.stub.requests(Kind::new_order) == 2);
  for (const auto id : {refused, held}) {
    CHECK(world.row(id).status == "pending");
    CHECK(world.row(id).failure_class() == "administrative");
    CHECK(world.row(id).code() == "name_paused");
    CHECK(world.row(id).detail().find("https://ca.example/unpause") != std::string::npos);
    CHECK(world.row(id).error["failed_names"] == json({"z.example"}));
    CHECK(world.job(id, "failures") == "0");
    CHECK(world.due_in(id) == doctest::Approx(3600).epsilon(0.02));
  }
  CHECK(world.sql.value("SELECT string_agg(code || ' ' || split_part(key, ' ', 2), ',') FROM csrq.alarms") ==
        "name_paused z.example");

  SUBCASE("it is paused still: one row has asked, the others wait on") {
    world.stub.fail_next(Kind::new_order, pause, 10);
    world.stub.forget_requests();
    world.sql.run("SELECT csrq.retry(code => 'name_paused')");
    CHECK(world.run().put_off == 2);
    CHECK(world.stub.requests(Kind::new_order) == 1);
    CHECK(world.count("alarms") == "1");
  }
  SUBCASE("it is paused no longer: one row is retried, and the others follow") {
    world.sql.run("SELECT csrq.retry(id => " + std::to_string(store::number(held)) + ")");
    CHECK(world.run().issued + world.run().issued == 2);
    CHECK(world.count("alarms") == "0");
  }
}

TEST_CASE("a pause of a name that is not the row's is an alarm about the row's own") {
  StubIssuing world;
  world.stub.fail_next(Kind::new_order,
                       faults::problem(429, "rateLimited",
                                       "Your account is temporarily prevented from requesting certificates "
                                       "for stranger.example and possibly others."));
  world.submit({"a.example"});
  CHECK(world.run().failed == 1);
  CHECK(world.sql.value("SELECT split_part(key, ' ', 2) FROM csrq.alarms") == "a.example");
}

TEST_CASE("a paused name that the CA does not tell fails its row alone, by the schedule") {
  StubIssuing world;
  world.stub.fail_next(
      Kind::new_order,
      faults::problem(429, "rateLimited",
                      "Your account is temporarily prevented from requesting certificates."));
  const auto id = world.submit({"a.example"});
  CHECK(world.run().failed == 1);
  CHECK(world.row(id).code() == "name_paused");
  CHECK(world.count("rate_hold") == "0");
  CHECK(world.sql.value("SELECT code FROM csrq.alarms") == "name_paused");
}

TEST_CASE("a refusal for a limit without Retry-After, which its CA sends when hardly any time is left") {
  StubIssuing world;
  const std::string sentence = "too many new orders (20) from this account in the last 1m0s";
  SUBCASE("waits until the time that its sentence names") {
    std::string until = to_rfc3339(now() + 10min).substr(0, 19);
    until[10] = ' ';
    world.stub.fail_next(Kind::new_order, faults::problem(429, "rateLimited",
                                                          sentence + ", retry after " + until + " UTC: see"));
    const auto id = world.submit({"a.example"});
    CHECK(world.run().put_off == 1);
    CHECK(world.due_in(id) == doctest::Approx(600).epsilon(0.02));
  }
  SUBCASE("or, without any time, some seconds, and so do the others") {
    world.stub.fail_next(Kind::new_order, faults::problem(429, "rateLimited", sentence));
    const auto id = world.submit({"a.example"});
    CHECK(world.run().put_off == 1);
    CHECK(world.due_in(id) > 3);
    CHECK(world.due_in(id) <= 5);
    CHECK(world.sql.value("SELECT until <= now() + interval '5 seconds' FROM csrq.rate_hold") == "t");
  }
  SUBCASE("or one refill of the limit, if that is known") {
    world.sql.run("INSERT INTO csrq.rate_limit (directory, name, burst, period) VALUES ('" +
                  world.stub.directory_url() + "', 'new_orders_per_account', 10, '10 minutes')");
    world.stub.fail_next(Kind::new_order, faults::problem(429, "rateLimited", sentence));
    const auto id = world.submit({"a.example"});
    CHECK(world.run().put_off == 1);
    CHECK(world.due_in(id) == doctest::Approx(60).epsilon(0.05));
  }
}

TEST_CASE("when the wait for an unknown limit is over, the rows that waited come one after the other") {
  StubIssuing world;
  world.submit({"first.example"});
  world.run();
  world.stub.fail_next(Kind::new_order,
                       faults::problem(429, "rateLimited", "too many new orders", json::object(), "3600"));
  std::vector<store::RequestId> rows;
  rows.reserve(8);
  for (int row = 0; row < 8; ++row) rows.push_back(world.submit({"n" + std::to_string(row) + ".example"}));
  world.run(1);
  world.run();
  world.sql.run("UPDATE csrq.rate_hold SET until = now()");
  world.sql.run("UPDATE csrq.job SET run_at = now()");
  world.sql.run("UPDATE csrq.turn SET turn_at = now()");
  world.stub.forget_requests();
  Hold first = world.stub.hold_next(Kind::new_order);
  RunningBatch batch = world.start_run();
  first.wait_until_reached();
  CHECK(world.stub.requests(Kind::new_order) == 1);
  CHECK(world.count("goes_first") == "1");
  CHECK(world.count("acme_order WHERE status = 'creating'") == "1");
  first.release();
  CHECK(batch.wait().issued == 8);
  CHECK(world.count("goes_first") == "0");
}

TEST_CASE("a CA's document cannot say what csrq itself waits for") {
  StubIssuing world;
  world.sql.run("INSERT INTO csrq.rate_hold (directory, scope, key, until, error) VALUES ('" +
                world.stub.directory_url() +
                "', 'registered_domain', 'a.example', now() + interval '1 hour', "
                "'{\"detail\": \"slow down\", \"hold_code\": \"dns\"}')");
  const auto id = world.submit({"a.example"});
  CHECK(world.run().put_off == 1);
  CHECK(world.row(id).code() == "on_hold");
}

TEST_CASE("a limit of one set of names holds back no other row") {
  StubIssuing world;
  world.stub.fail_next(
      Kind::new_order,
      faults::problem(429, "rateLimited",
                      "too many certificates (5) already issued for this exact set of identifiers",
                      json::object(), "7200"));
  const auto limited = world.submit({"a.example"});
  CHECK(world.run().put_off == 1);
  CHECK(world.due_in(limited) == doctest::Approx(7200).epsilon(0.02));
  world.submit({"b.example"});
  CHECK(world.run().issued == 1);
}

TEST_CASE("a limit of one registered domain, as the answer's help page says, holds back its rows only") {
  StubIssuing world;
  world.stub.fail_next(
      Kind::new_order,
      faults::problem(429, "rateLimited",
                      "too many certificates (50) already issued for \"busy.example\" in the last "
                      "168h0m0s, retry after 2030-01-01 00:00:00 UTC: see "
                      "https://ca.example/limits#new-certificates-per-registered-domain",
                      json::object(), "7200"));
  const auto limited = world.submit({"a.busy.example"});
  CHECK(world.run().put_off == 1);
  CHECK(world.due_in(limited) == doctest::Approx(7200).epsilon(0.02));
  const auto sibling = world.submit({"b.busy.example"});
  world.submit({"quiet.example"});
  const auto tally = world.run();
  CHECK(tally.issued == 1);
  CHECK(tally.put_off == 1);
  CHECK(world.row(sibling).code() == "on_hold");
  CHECK(world.due_in(sibling) == doctest::Approx(7200).epsilon(0.02));
}

TEST_CASE("a limit of one of several registered domains, the answer not saying which, holds up nobody else") {
  StubIssuing world;
  const auto refused = [&](const std::vector<std::string>& names) {
    world.stub.fail_next(
        Kind::new_order,
        faults::problem(429, "rateLimited", "too many certificates already issued", json::object(), "7200"));
    const auto id = world.submit(names);
    CHECK(world.run().put_off == 1);
    CHECK(world.due_in(id) == doctest::Approx(7200).epsilon(0.02));
  };
  refused({"mine.example", "victim.example"});
  CHECK(world.count("rate_hold") == "0");
  world.submit({"www.victim.example"}, "other");
  CHECK(world.run().issued == 1);
  refused({"a.busy.example", "b.busy.example"});
  CHECK(world.sql.value("SELECT scope || ' ' || key FROM csrq.rate_hold") ==
        "registered_domain busy.example");
}

TEST_CASE("csrq stops before the CA has to say no") {
  StubIssuing world;
  world.sql.run("INSERT INTO csrq.rate_limit (directory, name, burst, period) VALUES ('" +
                world.stub.directory_url() + "', 'certificates_per_registered_domain', 1, '7 days')");
  world.submit({"a.example"});
  CHECK(world.run().issued == 1);
  world.stub.forget_requests();
  const auto same_domain = world.submit({"www.a.example"});
  world.submit({"b.example"});
  CHECK(world.run().issued == 1);
  CHECK(world.row(same_domain).failure_class() == "limited");
  CHECK(world.row(same_domain).code() == "rate_limit");
  CHECK(world.due_in(same_domain) > 6 * 86'400);
  CHECK(world.stub.requests(Kind::new_order) == 1);
}

TEST_CASE("limits that come into force count what was issued before") {
  StubIssuing world;
  world.submit({"a.example"});
  world.submit({"www.a.example", "b.example"});
  CHECK(world.run().issued == 2);
  const std::string& directory = world.ca_config().directory;
  cas::put_limits_in_force(
      world.worker().database, directory,
      {{"certificates_per_registered_domain", {.burst = 3, .period = std::chrono::hours(24 * 7)}}});
  const auto left = [&](const std::string& domain) {
    return world.sql.value("SELECT csrq.tokens('" + directory + "', 'certificates_per_registered_domain', '" +
                           domain + "')");
  };
  CHECK(left("a.example") == "1");
  CHECK(left("b.example") == "2");
}

TEST_CASE("a CA that is down for maintenance is left alone until the time it names") {
  StubIssuing world;
  world.submit({"first.example"});
  world.run();
  world.stub.forget_requests();
  SUBCASE("in seconds") {
    world.stub.fail_next(Kind::new_order, faults::status(503, "1800"));
  }
  SUBCASE("as a date") {
    world.stub.fail_next(Kind::new_order, faults::status(503, http_date(now() + 30min)));
  }
  const auto id = world.submit({"a.example"});
  CHECK(world.run().put_off == 1);
  CHECK(world.row(id).failure_class() == "limited");
  CHECK(world.due_in(id) == doctest::Approx(1800).epsilon(0.02));
  const auto other = world.submit({"b.example"}, "other");
  CHECK(world.run().put_off == 1);
  CHECK(world.row(other).code() == "on_hold");
  CHECK(world.stub.requests(Kind::new_order) == 1);
}

TEST_CASE("a failed row waits for as long as the CA says, but not longer than the schedule's last step") {
  StubIssuing world;
  world.stub.fail_next(Kind::new_order, faults::status(500, "Fri, 31 Dec 9999 23:59:59 GMT"));
  const auto id = world.submit({"a.example"});
  CHECK(world.run().failed == 1);
  CHECK(world.due_in(id) == doctest::Approx(86'400).epsilon(0.02));
}

TEST_CASE("a retry-after longer than the schedule's next step puts a failed row off until then") {
  StubIssuing world;
  world.stub.fail_next(Kind::new_order,
                       faults::problem(500, "serverInternal", "sorry", json::object(), "4000"));
  const auto id = world.submit({"a.example"});
  CHECK(world.run().failed == 1);
  CHECK(world.due_in(id) == doctest::Approx(4000).epsilon(0.02));
}

TEST_CASE("octets that are no UTF-8 in a header of the answer do not keep the failure from being written") {
  StubIssuing world;
  SUBCASE("a content type") {
    world.stub.fail_next(
        Kind::new_order,
        {.carried_out = false,
         .answer =
             StubAnswer{.status = 500, .headers = {}, .content_type = "text/\xff\xfehtml", .body = "x"}});
  }
  SUBCASE("a redirect of the directory") {
    world.stub.fail_next(Kind::directory,
                         {.carried_out = false,
                          .answer = StubAnswer{.status = 302,
                                               .headers = {{"Location", "https://\xff\xfe.example/"}},
                                               .content_type = {},
                                               .body = {}}});
  }
  const auto id = world.submit({"a.example"});
  CHECK(world.run().failed == 1);
  CHECK(world.row(id).detail().find('?') != std::string::npos);
}

TEST_CASE("an order that stays `processing` is put off as long as the CA says, without counting a failure") {
  for (const bool as_date : {false, true}) {
    StubIssuing world;
    world.stub.change([&](StubBehaviour& ca) {
      ca.looks_until_issued = 2;
      ca.retry_after = as_date ? http_date(now() + 2min) : "120";
    });
    const auto id = world.submit({"a.example"});
    for (int look = 0; look < 2; ++look) {
      CHECK(world.run().put_off == 1);
      CHECK(world.row(id).status == "pending");
      CHECK(world.row(id).code() == "ca_busy");
      CHECK(world.job(id, "failures") == "0");
      CHECK(world.due_in(id) > 110);
      CHECK(world.due_in(id) <= 121);
      world.make_due(id);
    }
    CHECK(world.run().issued == 1);
    CHECK(world.row(id).error.is_null());
    CHECK(world.stub.requests(Kind::finalize) == 1);
  }
}

TEST_CASE("a short retry-after is waited for with the row kept") {
  StubIssuing world;
  world.stub.change([](StubBehaviour& ca) {
    ca.looks_until_issued = 1;
    ca.retry_after = "1";
  });
  world.submit({"a.example"});
  const auto start = std::chrono::steady_clock::now();
  CHECK(world.run().issued == 1);
  CHECK(std::chrono::steady_clock::now() - start >= 1s);
}

TEST_CASE("a URL of another host is never asked, whatever the CA says") {
  for (const char* foreign : {"https://169.254.169.254/latest/meta-data", "https://localhost:1/order"})
    for (const char* member : {"finalize", "certificate", "authorizations"}) {
      CAPTURE(member);
      StubIssuing world;
      world.stub.change([&](StubBehaviour& ca) {
        ca.edit_order = [=](json& order) {
          if (std::string(member) == "authorizations")
            order[member] = json::array({foreign});
          else if (order.contains(member))
            order[member] = foreign;
        };
      });
      const auto id = world.submit({"a.example"});
      CHECK(world.run().failed == 1);
      CHECK(world.row(id).code() == "foreign_url");
      CHECK(world.row(id).detail().find(foreign) != std::string::npos);
      CHECK(world.row(id).chain == "");
      CHECK(world.count("acme_authorization WHERE url = '" + std::string(foreign) + "'") == "0");
    }
}

TEST_CASE("a URL without TLS is never asked") {
  StubIssuing world;
  world.stub.change([](StubBehaviour& ca) {
    ca.edit_order = [](json& order) { order["finalize"] = "http://127.0.0.1/finalize"; };
  });
  const auto id = world.submit({"a.example"});
  CHECK(world.run().failed == 1);
  CHECK(world.row(id).code() == "bad_answer");
}

TEST_CASE("an order for other names than those asked for is not worked on") {
  StubIssuing world;
  world.stub.change([](StubBehaviour& ca) {
    ca.edit_order = [](json& order) { order["identifiers"][0]["value"] = "other.example"; };
  });
  const auto id = world.submit({"a.example"});
  CHECK(world.run().failed == 1);
  CHECK(world.row(id).code() == "bad_answer");
  CHECK(world.stub.requests(Kind::challenge) == 0);
}

TEST_CASE("a CA whose certificate is not trusted gets no request") {
  const AcmeStub stub;
  const AcmeStub other;
  http::Client client({.ca_file = other.ca_file()});
  acme::Ca ca("ca", stub.directory_url(), client);
  try {
    ca.directory();
    FAIL("the directory was read");
  } catch (const Error& error) {
    CHECK(error.failure().code == "tls");
  }
  CHECK(stub.requests() == 0);
}

TEST_CASE("a broken CSR fails at once without any request, and its neighbours are issued") {
  StubIssuing world;
  const auto broken = world.submit_csr(CsrRecipe{.names = {"a.example"}, .broken_signature = true});
  CHECK(world.run().failed == 1);
  CHECK(world.row(broken).status == "failed");
  CHECK(world.row(broken).code() == "bad_signature");
  CHECK(world.stub.requests() == 0);
  world.submit({"b.example"});
  CHECK(world.run().issued == 1);
}

TEST_CASE(
    "an unforeseen error shows its sentence in the row, without the hints and the context of the server") {
  StubIssuing world;
  world.sql.run(R"(
      CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN RAISE EXCEPTION 'it is broken' USING HINT = 'look into /etc/secrets', DETAIL = 'the inner parts'; END $$;
      CREATE TRIGGER broken BEFORE INSERT ON csrq.acme_order FOR EACH ROW EXECUTE FUNCTION broken())");
  const auto id = world.submit({"a.example"});
  CHECK(world.run().failed == 1);
  CHECK(world.row(id).code() == "internal");
  CHECK(world.row(id).detail() == "it is broken");
}

TEST_CASE("a database whose disk is full for a while costs no row a failure: the worker waits and goes on") {
  StubIssuing world;
  world.sql.run(R"(
      CREATE SEQUENCE full_disk;
      CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        IF nextval('public.full_disk') <= 2 THEN
          RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full';
        END IF;
        RETURN NEW;
      END $$;
      CREATE TRIGGER full_disk BEFORE INSERT ON csrq.certificate FOR EACH ROW EXECUTE FUNCTION full_disk();
      GRANT USAGE ON SEQUENCE full_disk TO PUBLIC)");
  const auto id = world.submit({"a.example"});
  CHECK(world.run().issued == 1);
  CHECK(world.sql.value("SELECT last_value >= 3 FROM full_disk") == "t");
  CHECK(world.count("event WHERE what = 'failed'") == "0");
  CHECK(world.stub.issued() == 1);
  CHECK(world.row(id).error.is_null());
}
