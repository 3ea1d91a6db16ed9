#include <doctest/doctest.h>

#include <algorithm>
#include <array>

#include <nlohmann/json.hpp>

#include "issuance/order_failure.hpp"
#include "issuance/poll_pace.hpp"
#include "issuance/registered_domain.hpp"
#include "issuance/renewal_time.hpp"

using namespace std::chrono_literals;
using namespace csrq;
using namespace csrq::issuance;
using nlohmann::json;

namespace {

acme::Authorization authorization(const std::string& name, AuthorizationStatus status,
                                  const std::string& problem = {}) {
  acme::Challenge challenge{.type = "http-01"};
  if (!problem.empty()) challenge.error = acme::parse_problem(problem);
  return {.identifier = {.value = name}, .status = status, .challenges = {challenge}};
}

constexpr const char* dns_problem =
    R"({"type":"urn:ietf:params:acme:error:dns","detail":"no such name","status":400,"more":1})";
constexpr const char* caa_problem = R"({"type":"urn:ietf:params:acme:error:caa","detail":"not allowed"})";

}  // namespace

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

TEST_CASE("renewal time: a third of ninety days before the end, or up to 5 % of the lifetime earlier") {
  const Time start = parse_rfc3339("2026-01-01T00:00:00Z").value();
  const Time end = start + 24h * 90;
  const auto days = [&](double jitter) {
    return seconds(renewal_time(start, end, 1.0 / 3, jitter) - start) / 86'400;
  };
  CHECK(days(0) == doctest::Approx(60).epsilon(0.001));  // but for the first minute of an hour
  CHECK(days(1) == doctest::Approx(60 - 4.5).epsilon(0.001));
  CHECK(days(0.5) == doctest::Approx(60 - 2.25).epsilon(0.001));
}

TEST_CASE("renewal time: half of the lifetime is left if it is shorter than ten days") {
  const Time start = parse_rfc3339("2026-01-01T00:00:00Z").value();
  const Time half = start + 24h * 3 - 1min;
  CHECK(renewal_time(start, start + 24h * 6, 1.0 / 3, 0) == half);
  CHECK(renewal_time(start, start + 24h * 6, 0.9, 0) == half);
  CHECK(renewal_time(start, start + 24h * 6, 1.0 / 3, 1) < start + 24h * 3);
}

TEST_CASE("renewal time: never before the certificate, whatever share is configured") {
  const Time start = parse_rfc3339("2026-01-01T00:00:00Z").value();
  CHECK(renewal_time(start, start + 24h * 90, 0.98, 1) > start);
}

TEST_CASE("renewal time: never in the first minute of an hour, and earlier rather than later") {
  const Time start = parse_rfc3339("2026-01-01T00:00:00Z").value();
  const Time rule = start + 24h * 60;
  for (int i = 0; i <= 100'000; ++i) {
    const double jitter = i / 100'000.0;
    const Time at = renewal_time(start, start + 24h * 90, 1.0 / 3, jitter);
    if (at > rule || at < rule - 24h * 5 || at - std::chrono::floor<std::chrono::hours>(at) < 1min)
      FAIL("jitter " << jitter << ": " << to_rfc3339(at));
  }
}

TEST_CASE("renewal time: a thousand requests that follow one another are spread evenly, always alike") {
  std::array<int, 10> tenths{};
  for (int i = 1; i <= 1000; ++i) {
    const double share = stable_share(store::RequestId{i});
    REQUIRE(share >= 0);
    REQUIRE(share < 1);
    CHECK(share == stable_share(store::RequestId{i}));
    ++tenths.at(static_cast<std::size_t>(share * 10));
  }
  CHECK(*std::ranges::min_element(tenths) > 70);
  CHECK(*std::ranges::max_element(tenths) < 130);
}

TEST_CASE("registered domain: by the public suffix list") {
  CHECK(registered_domain("a.b.example.co.uk") == "example.co.uk");
  CHECK(registered_domain("example.co.uk") == "example.co.uk");
  CHECK(registered_domain("*.shop.example.com") == "example.com");
  CHECK(registered_domain("user.github.io") == "user.github.io");
}

TEST_CASE("registered domain: what has none stands for itself") {
  CHECK(registered_domain("co.uk") == "co.uk");
  CHECK(registered_domain("192.0.2.1") == "192.0.2.1");
  CHECK(registered_domain("2001:db8::1") == "2001:db8::1");
}

TEST_CASE(
    "registered domain: an order's account is that of the first in order, whatever the order of its names") {
  CHECK(account_domain({"www.z.example.org", "a.example.com"}) == "example.com");
  CHECK(account_domain({"a.example.com", "www.z.example.org"}) == "example.com");
  CHECK(account_domain({"192.0.2.1"}) == "192.0.2.1");
}

TEST_CASE(
    "order failure: the failed names are in the sentence, all of them in failed_names and subproblems") {
  const acme::Order order{.url = "https://ca/order/1", .status = OrderStatus::invalid};
  const Failure failure =
      order_failure(order, {authorization("ok.example", AuthorizationStatus::valid),
                            authorization("a.example", AuthorizationStatus::invalid, dns_problem),
                            authorization("b.example", AuthorizationStatus::invalid, caa_problem)});
  CHECK(failure.failure_class == FailureClass::validation);
  CHECK(failure.code == "dns");
  CHECK(failure.detail == "a.example: no such name; b.example: not allowed");
  CHECK(failure.failed_names == std::vector<std::string>{"a.example", "b.example"});
  const json document = json::parse(failure.problem);
  CHECK(document["detail"] == "no such name");
  CHECK(document["more"] == 1);
  REQUIRE(document["subproblems"].size() == 2);
  CHECK(document["subproblems"][1]["type"] == "urn:ietf:params:acme:error:caa");
  CHECK(document["subproblems"][1]["identifier"] == json{{"type", "dns"}, {"value", "b.example"}});
}

TEST_CASE("order failure: of many failed names the sentence tells three, the rest is counted, none is lost") {
  const acme::Order order{.url = "https://ca/order/1", .status = OrderStatus::invalid};
  std::vector<acme::Authorization> authorizations;
  authorizations.reserve(100);
  for (int i = 0; i < 100; ++i)
    authorizations.push_back(
        authorization("n" + std::to_string(i) + ".example",
                      i % 10 == 0 ? AuthorizationStatus::valid : AuthorizationStatus::invalid,
                      i % 10 == 0 ? "" : dns_problem));
  const Failure failure = order_failure(order, authorizations);
  CHECK(
      failure.detail ==
      "n1.example: no such name; n2.example: no such name; n3.example: no such name; and 87 more names, see "
      "subproblems");
  CHECK(failure.failed_names.size() == 90);
  CHECK(json::parse(failure.problem)["subproblems"].size() == 90);
}

TEST_CASE("order failure: the worst error decides class and code, whatever the order of the names") {
  const acme::Order order{.url = "https://ca/order/1", .status = OrderStatus::invalid};
  const Failure failure = order_failure(
      order, {authorization("a.example", AuthorizationStatus::invalid,
                            R"({"type":"urn:ietf:params:acme:error:serverInternal","detail":"sorry"})"),
              authorization("b.example", AuthorizationStatus::invalid, dns_problem)});
  CHECK(failure.failure_class == FailureClass::validation);
  CHECK(failure.code == "dns");
  CHECK(failure.detail == "a.example: sorry; b.example: no such name");
}

TEST_CASE("order failure: a failed wildcard is told from its base name") {
  const acme::Order order{.url = "https://ca/order/1", .status = OrderStatus::invalid};
  acme::Authorization wildcard = authorization("a.example", AuthorizationStatus::invalid, dns_problem);
  wildcard.wildcard = true;
  const Failure failure =
      order_failure(order, {authorization("a.example", AuthorizationStatus::valid), wildcard});
  CHECK(failure.failed_names == std::vector<std::string>{"*.a.example"});
  CHECK(failure.detail == "*.a.example: no such name");
}

TEST_CASE("refused names: subproblems, else what the sentence has in quotes, else the only name") {
  const std::vector<std::string> names{"a.example", "b.example"};
  const auto refused = [&](const std::string& problem, const std::vector<std::string>& of) {
    return refused_names({.problem = problem}, of);
  };
  CHECK(refused(R"({"detail":"x","subproblems":[{"identifier":{"type":"dns","value":"B.example"}},)"
                R"({"identifier":{"type":"dns","value":"foreign.example"}}]})",
                names) == std::vector<std::string>{"b.example"});
  CHECK(refused(R"({"detail":"Cannot issue for \"a.example\": forbidden by policy"})", names) ==
        std::vector<std::string>{"a.example"});
  CHECK(refused(R"({"detail":"policy forbids it"})", names).empty());
  CHECK(refused(R"({"detail":"policy forbids it"})", {"a.example"}) == std::vector<std::string>{"a.example"});
  CHECK(refused("", names).empty());
}

TEST_CASE("order failure: subproblems that the CA sent are left as they are") {
  const acme::Order order{
      .url = "https://ca/order/1",
      .status = OrderStatus::invalid,
      .error = acme::parse_problem(
          R"({"type":"urn:ietf:params:acme:error:compound","detail":"two","subproblems":[{"type":"x"}]})")};
  const Failure failure =
      order_failure(order, {authorization("a.example", AuthorizationStatus::invalid, dns_problem)});
  CHECK(failure.code == "dns");
  CHECK(json::parse(failure.problem)["subproblems"] == json::parse(R"([{"type":"x"}])"));
}

TEST_CASE("order failure: an order that failed by itself tells its own error") {
  const acme::Order order{
      .url = "https://ca/order/1", .status = OrderStatus::invalid, .error = acme::parse_problem(caa_problem)};
  const Failure failure = order_failure(order, {authorization("a.example", AuthorizationStatus::valid)});
  CHECK(failure.code == "caa");
  CHECK(failure.detail == "the CA gave the order up: not allowed");
}

TEST_CASE("order failure: authorizations that ran out are no failed validation") {
  const acme::Order order{
      .url = "https://ca/order/1",
      .status = OrderStatus::invalid,
      .error = acme::parse_problem(
          R"({"type":"urn:ietf:params:acme:error:unauthorized","detail":"authorizations expired"})")};
  const Failure failure = order_failure(order, {authorization("a.example", AuthorizationStatus::expired)});
  CHECK(failure.failure_class == FailureClass::transient);
  CHECK(failure.detail == "the CA gave the order up: authorizations expired");
}

TEST_CASE("order failure: without any reason it is a passing failure that names the order") {
  const acme::Order invalid{.url = "https://ca/order/1", .status = OrderStatus::invalid};
  CHECK(order_failure(invalid, {}).code == "order_invalid");
  CHECK(order_failure(invalid, {}).failure_class == FailureClass::transient);
  CHECK(order_failure(invalid, {}).detail.find("https://ca/order/1") != std::string::npos);
  const acme::Order expired{.url = "https://ca/order/1", .status = OrderStatus::pending};
  CHECK(order_failure(expired, {}).code == "order_expired");
}
