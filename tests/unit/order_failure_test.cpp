#include "issuance/order_failure.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

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
