#include "dns/caa.hpp"

#include <doctest/doctest.h>

#include <map>

#include "dns/resolver.hpp"

using namespace csrq::dns;

namespace {

/// A zone: names and their records; asking for "broken.example" fails.
struct Zone {
  std::map<std::string, std::vector<CaaRecord>> records{};
  std::vector<std::string> asked{};

  std::string refusal(const std::string& name, const std::string& challenge = "http-01") {
    asked.clear();
    return caa_refusal(name, {.domains = {"ca.example", "other.ca.example"}, .challenge = challenge},
                       [this](const std::string& at) {
                         asked.push_back(at);
                         if (at == "broken.example") throw LookupFailed("SERVFAIL");
                         return records[at];
                       });
  }
  bool allows(const std::string& name) { return refusal(name).empty(); }
};

CaaRecord issue(const std::string& value) {
  return {.critical = false, .tag = "issue", .value = value};
}
CaaRecord issuewild(const std::string& value) {
  return {.critical = false, .tag = "issuewild", .value = value};
}

}  // namespace

TEST_CASE("without CAA records every CA may issue; the whole tree was asked, up to the top level") {
  Zone zone;
  CHECK(zone.allows("www.a.example"));
  CHECK(zone.asked == std::vector<std::string>{"www.a.example", "a.example", "example"});
}

TEST_CASE("the records of the closest name with any decide, those above it do not") {
  Zone zone;
  zone.records["a.example"] = {issue("ca.example")};
  zone.records["www.a.example"] = {issue("somebody.else")};
  CHECK(zone.allows("a.example"));
  CHECK(zone.allows("mail.a.example"));
  CHECK(zone.refusal("www.a.example") == "the CAA records at www.a.example do not name it");
  CHECK_FALSE(zone.allows("x.www.a.example"));
}

TEST_CASE("any identity of the CA will do, in any case, with blanks and parameters around") {
  Zone zone;
  for (const std::string value : {"ca.example", "OTHER.ca.example", " ca.example ; policy=ev"}) {
    CAPTURE(value);
    zone.records["a.example"] = {issue("somebody.else"), issue(value)};
    CHECK(zone.allows("a.example"));
  }
  for (const std::string value : {"", ";", "  ", "sub.ca.example", "ca.example; unreadable"}) {
    CAPTURE(value);
    zone.records["a.example"] = {issue(value)};
    CHECK_FALSE(zone.allows("a.example"));
  }
}

TEST_CASE("for a wildcard issuewild counts if there is one, else issue; for any other name issue alone") {
  Zone zone;
  zone.records["a.example"] = {issue("ca.example"), issuewild("somebody.else")};
  CHECK(zone.allows("a.example"));
  CHECK_FALSE(zone.allows("*.a.example"));
  zone.records["a.example"] = {issue("somebody.else"), issuewild("ca.example")};
  CHECK_FALSE(zone.allows("a.example"));
  CHECK(zone.allows("*.a.example"));
  zone.records["a.example"] = {issue("somebody.else")};
  CHECK_FALSE(zone.allows("*.a.example"));
  zone.records["a.example"] = {issuewild(";")};
  CHECK(zone.allows("a.example"));
}

TEST_CASE("a critical property that is not known forbids, one that is not critical does not") {
  Zone zone;
  zone.records["a.example"] = {issue("ca.example"), {.critical = true, .tag = "future", .value = "x"}};
  CHECK(zone.refusal("a.example").find("critical property that nobody here knows: future") !=
        std::string::npos);
  zone.records["a.example"] = {issue("ca.example"), {.critical = false, .tag = "future", .value = "x"}};
  CHECK(zone.allows("a.example"));
  zone.records["a.example"] = {{.critical = true, .tag = "ISSUE", .value = "ca.example"}};
  CHECK(zone.allows("a.example"));
  zone.records["a.example"] = {{.critical = false, .tag = "iodef", .value = "mailto:a@a.example"}};
  CHECK(zone.allows("a.example"));
}

TEST_CASE("validation methods must name ours; a record for one account is not ours") {
  Zone zone;
  zone.records["a.example"] = {issue("ca.example; validationmethods=dns-01,http-01")};
  CHECK(zone.allows("a.example"));
  CHECK_FALSE(zone.refusal("a.example", "tls-alpn-01").empty());
  zone.records["a.example"] = {issue("ca.example; accounturi=https://ca.example/acct/1")};
  CHECK_FALSE(zone.allows("a.example"));
}

TEST_CASE("a lookup that fails is no permission, wherever in the tree") {
  Zone zone;
  CHECK_THROWS_AS(zone.refusal("www.broken.example"), LookupFailed);
}

TEST_CASE("CAA records are read from a DNS message, behind the alias that leads to them") {
  const auto octets = [](std::initializer_list<int> numbers) {
    std::string text;
    for (const int number : numbers) text.push_back(static_cast<char>(number));
    return text;
  };
  // ID 1, an answer with one question and two records.
  const std::string header = octets({0, 1, 0x81, 0x80, 0, 1, 0, 2, 0, 0, 0, 0});
  const std::string question = octets({1}) + "a" + octets({2}) + "ex" + octets({0, 1, 1, 0, 1});
  const std::string alias = octets({0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 4, 1}) + "b" + octets({0xc0, 14});
  const std::string data = octets({0x80, 5}) + "issueca.example";
  const std::string record =
      octets({0xc0, 12, 1, 1, 0, 1, 0, 0, 0, 60, 0, static_cast<int>(data.size())}) + data;
  const auto records = caa_records(header + question + alias + record);
  REQUIRE(records.size() == 1);
  CHECK(records[0].critical);
  CHECK(records[0].tag == "issue");
  CHECK(records[0].value == "ca.example");
  CHECK(caa_records("").empty());
  CHECK_THROWS_AS(caa_records((header + question + alias + record).substr(0, 40)), LookupFailed);
  const std::string cut = octets({0xc0, 12, 1, 1, 0, 1, 0, 0, 0, 60, 0, 2, 0, 9});
  CHECK_THROWS_AS(caa_records(header + question + alias + cut), LookupFailed);
}
