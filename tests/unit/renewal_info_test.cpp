#include "acme/renewal_info.hpp"

#include <doctest/doctest.h>

#include <string>

#include "base/error.hpp"

using namespace csrq;
using namespace csrq::acme;
using namespace std::chrono_literals;

namespace {

std::string window(const std::string& start, const std::string& end, const std::string& more = {}) {
  return R"({"suggestedWindow":{"start":")" + start + R"(","end":")" + end + R"("})" + more + "}";
}

RenewalInfo parsed(const std::string& json) {
  return parse_renewal_info(json, "https://ca.example/ari/a.b");
}

std::string refusal(const std::string& json) {
  try {
    parsed(json);
  } catch (const Error& error) {
    CHECK(error.failure().failure_class == FailureClass::transient);
    CHECK(error.failure().code == "bad_renewal_info");
    return error.what();
  }
  return {};
}

}  // namespace

TEST_CASE("renewal information: the window, and a page for people") {
  const RenewalInfo info = parsed(window("2026-01-02T04:00:00Z", "2026-01-03T04:00:00Z",
                                         R"(,"explanationURL":"https://ca.example/incident","more":[1])"));
  CHECK(info.start == parse_rfc3339("2026-01-02T04:00:00Z").value());
  CHECK(info.end == info.start + 24h);
  CHECK(info.explanation_url == "https://ca.example/incident");
  CHECK(info.ask_again == 6h);
}

TEST_CASE("renewal information: a page that cannot be shown costs nothing but the page") {
  for (const char* page :
       {"7", "null", "\"javascript:alert(1)\"", "\"https://ca.example/\\u001b[2J\"", "{}"}) {
    CAPTURE(page);
    CHECK(parsed(window("2026-01-02T04:00:00Z", "2026-01-03T04:00:00Z",
                        std::string(",\"explanationURL\":") + page))
              .explanation_url.empty());
  }
}

TEST_CASE("renewal information: an absurd window counts as no answer") {
  CHECK(refusal(window("2026-01-03T04:00:00Z", "2026-01-02T04:00:00Z")).find("ends before it begins") !=
        std::string::npos);
  for (const std::string& json :
       {window("2026-01-02T04:00:00Z", "2026-01-02T04:00:00Z"), window("soon", "2026-01-02T04:00:00Z"),
        window("2026-01-02T04:00:00Z", ""), window("99999-01-02T04:00:00Z", "99999-01-03T04:00:00Z"),
        std::string("{}"), std::string(R"({"suggestedWindow":[]})"),
        std::string(R"({"suggestedWindow":null})"), std::string("<html>"), std::string()}) {
    CAPTURE(json);
    CHECK(!refusal(json).empty());
  }
}

TEST_CASE("renewal information: the instant lies in the window; a window after the end is of no use") {
  const RenewalInfo info = parsed(window("2026-01-02T00:00:00Z", "2026-01-04T00:00:00Z"));
  const Time not_after = info.start + 24h * 30;
  CHECK(instant_in(info, 0, not_after) == info.start);
  CHECK(instant_in(info, 0.5, not_after) == info.start + 24h);
  CHECK(instant_in(info, 1, not_after) == info.end);
  CHECK(instant_in(info, 7, not_after) == info.end);
  CHECK(!instant_in(info, 0.5, info.start));
  CHECK(instant_in(info, 0.5, info.start + 1s));  // whoever plans takes the rule if that is sooner
}
