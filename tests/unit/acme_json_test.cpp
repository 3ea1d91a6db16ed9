#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "acme/json.hpp"
#include "base/error.hpp"

using csrq::Error;
using csrq::FailureClass;
using csrq::acme::Object;
using csrq::acme::parse_json;

namespace {

Object object(const std::string& text) {
  return Object::parse(text, {.url = "https://ca.example/order/1"});
}

/// The sentence of the Error that `call` throws; empty if it throws none.
template <class Call>
std::string refusal(Call call) {
  try {
    call();
  } catch (const Error& error) {
    CHECK(error.failure().failure_class == FailureClass::transient);
    CHECK(error.failure().code == "bad_answer");
    return error.what();
  }
  return {};
}

}  // namespace

TEST_CASE("Object::parse") {
  SUBCASE("HTML is called HTML, and the URL is named") {
    const std::string sentence = refusal([] { object("\n<!doctype html><html></html>"); });
    CHECK(sentence.starts_with("https://ca.example/order/1: the answer is HTML"));
  }
  SUBCASE("nothing, a list, broken JSON and octets that are not UTF-8 are refused") {
    for (const char* text : {"", " \n", "[]", "7", "{", R"({"a":1,})", "{\"a\":\"\xff\"}"}) {
      CAPTURE(text);
      CHECK(!refusal([&] { object(text); }).empty());
    }
  }
}

TEST_CASE("parse_json") {
  SUBCASE("what nests too deeply is refused, without running out of stack") {
    CHECK(parse_json(std::string(20, '[') + std::string(20, ']')));
    CHECK(!parse_json(std::string(40, '[') + std::string(40, ']')));
    CHECK(!parse_json(std::string(1 << 20, '[')));
  }
  SUBCASE("U+0000 is refused in values and names, since jsonb holds none") {
    CHECK(!parse_json(R"({"a":"x\u0000y"})"));
    CHECK(!parse_json(R"({"a\u0000":"x"})"));
  }
}

TEST_CASE("Object") {
  const Object order = object(R"({"status":"ready","number":7,"none":null,"wildcard":true,
      "authorizations":["https://ca.example/a/1"],"mixed":["x",1],"list":[{"type":"dns"}],
      "meta":{"termsOfService":3},"http":"http://ca.example/x"})");

  SUBCASE("members of the right type are read") {
    CHECK(order.text("status") == "ready");
    CHECK(order.flag("wildcard"));
    CHECK(order.urls("authorizations") == std::vector<std::string>{"https://ca.example/a/1"});
    CHECK(order.objects("list").at(0).text("type") == "dns");
  }
  SUBCASE("absent and null members are empty") {
    CHECK(order.text("absent").empty());
    CHECK(order.text("none").empty());
    CHECK(!order.flag("absent"));
    CHECK(order.texts("none").empty());
    CHECK(order.objects("absent").empty());
    CHECK(!order.object("none"));
    CHECK(order.url("absent").empty());
  }
  SUBCASE("a wrong type is named, with URL, member and both types") {
    CHECK(refusal([&] { (void)order.text("number"); }) ==
          "https://ca.example/order/1: the member `number` is a number, expected text");
    CHECK(refusal([&] { (void)order.flag("status"); }) ==
          "https://ca.example/order/1: the member `status` is text, expected true or false");
    CHECK(refusal([&] { (void)order.texts("status"); }).find("`status`") != std::string::npos);
    CHECK(refusal([&] { (void)order.objects("mixed"); }).find("`mixed`") != std::string::npos);
    CHECK(refusal([&] { (void)order.texts("mixed"); }).find("`mixed`") != std::string::npos);
    CHECK(refusal([&] { (void)order.object("list"); }).find("`list`") != std::string::npos);
  }
  SUBCASE("members of a nested object are named with their path") {
    CHECK(refusal([&] {
            (void)order.object("meta")->text("termsOfService");
          }).find("`meta.termsOfService`") != std::string::npos);
  }
  SUBCASE("a required member that is absent is named") {
    CHECK(refusal([&] { (void)order.required_text("finalize"); }) ==
          "https://ca.example/order/1: the member `finalize` is missing");
  }
  SUBCASE("a URL that is not https is refused") {
    CHECK(refusal([&] { (void)order.url("http"); }).find("`http` must be an https URL") != std::string::npos);
  }
}
