#include "base/time.hpp"

#include <doctest/doctest.h>

#include <chrono>

using namespace csrq;
using namespace std::chrono_literals;
using std::chrono::sys_days;

namespace {

constexpr Time noon = sys_days(2026y / 11 / 23) + 12h;

}  // namespace

TEST_CASE("parse_rfc3339 reads") {
  SUBCASE("UTC") {
    CHECK(parse_rfc3339("2026-11-23T12:00:00Z") == noon);
  }
  SUBCASE("lower-case letters") {
    CHECK(parse_rfc3339("2026-11-23t12:00:00z") == noon);
  }
  SUBCASE("fractions, down to a microsecond") {
    CHECK(parse_rfc3339("2026-11-23T12:00:00.5Z") == noon + 500ms);
    CHECK(parse_rfc3339("2026-11-23T12:00:00.123456789Z") == noon + 123456us);
  }
  SUBCASE("offsets, which are ahead of UTC if positive") {
    CHECK(parse_rfc3339("2026-11-23T13:30:00+01:30") == noon);
    CHECK(parse_rfc3339("2026-11-22T23:00:00-13:00") == noon);
    CHECK(parse_rfc3339("2026-11-23T12:00:00.25-00:00") == noon + 250ms);
  }
  SUBCASE("a leap second, as the first of the next minute") {
    CHECK(parse_rfc3339("2016-12-31T23:59:60Z") == Time(sys_days(2017y / 1 / 1)));
  }
  SUBCASE("a leap day") {
    CHECK(parse_rfc3339("2028-02-29T00:00:00Z") == Time(sys_days(2028y / 2 / 29)));
  }
  SUBCASE("the years 1 and 9999") {
    CHECK(parse_rfc3339("0001-01-01T00:00:00Z") == Time(sys_days(1y / 1 / 1)));
    CHECK(parse_rfc3339("9999-12-31T23:59:59Z") == sys_days(9999y / 12 / 31) + 24h - 1s);
  }
}

TEST_CASE("parse_rfc3339 refuses") {
  for (const std::string text : {"",
                                 "2026-11-23",
                                 "2026-11-23T12:00Z",
                                 "2026-11-23T12:00:00",
                                 "2026-11-23 12:00:00Z",
                                 "2026-13-01T00:00:00Z",
                                 "2026-02-29T00:00:00Z",
                                 "2026-11-00T00:00:00Z",
                                 "2026-11-23T24:00:00Z",
                                 "2026-11-23T12:60:00Z",
                                 "2026-11-23T12:00:61Z",
                                 "2026-11-23T12:00:00.Z",
                                 "2026-11-23T12:00:00+1:00",
                                 "2026-11-23T12:00:00+0100",
                                 "2026-11-23T12:00:00+24:00",
                                 "2026-11-23T12:00:00+01:60",
                                 "2026-11-23T12:00:00Zjunk",
                                 "0000-01-01T00:00:00Z",
                                 "0000-12-31T23:59:59Z",
                                 "0001-01-01T00:00:00+00:01",
                                 "9999-12-31T23:59:59-00:01",
                                 "9999-12-31T23:59:60Z",
                                 "+026-11-23T12:00:00Z",
                                 "2026-11-23T12:00:0 Z",
                                 " 2026-11-23T12:00:00Z"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_rfc3339(text));
  }
}

TEST_CASE("to_rfc3339 writes whole seconds of UTC, cut off") {
  CHECK(to_rfc3339(noon) == "2026-11-23T12:00:00Z");
  CHECK(to_rfc3339(noon + 999999us) == "2026-11-23T12:00:00Z");
  CHECK(to_rfc3339(noon - 1us) == "2026-11-23T11:59:59Z");
  CHECK(to_rfc3339(sys_days(1969y / 12 / 31) + 5h) == "1969-12-31T05:00:00Z");
  CHECK(to_rfc3339(sys_days(987y / 1 / 2)) == "0987-01-02T00:00:00Z");
}

TEST_CASE("parse_duration reads a number and a unit") {
  CHECK(parse_duration("250ms") == 250ms);
  CHECK(parse_duration("90s") == 90s);
  CHECK(parse_duration("10m") == 10min);
  CHECK(parse_duration("1.5h") == 90min);
  CHECK(parse_duration("1d") == 24h);
  CHECK(parse_duration("2y") == 2 * 365 * 24h);
  CHECK(parse_duration("0s") == 0s);
  CHECK(parse_duration("0.001ms") == 1us);
}

TEST_CASE("parse_duration refuses") {
  for (const std::string text :
       {"",    "10",  "m",      "-1s",  "+1s",  " 1s",   "1 s",  "1s ", "1S",   "1h30m",
        "1.m", ".5m", "1.2.3s", "1e3s", "1,5h", "nan s", "infs", "1w",  "300y", "99999999999999999999y"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_duration(text));
  }
}

TEST_CASE("to_text takes the longest unit that gives a whole number") {
  CHECK(to_text(0s) == "0s");
  CHECK(to_text(90s) == "90s");
  CHECK(to_text(600s) == "10m");
  CHECK(to_text(24h) == "1d");
  CHECK(to_text(365 * 24h) == "1y");
  CHECK(to_text(1500ms) == "1500ms");
  CHECK(to_text(1us) == "0.001ms");
}

TEST_CASE("parse_duration reads back what to_text writes") {
  for (const Duration duration : {Duration(1us), Duration(1234567us), Duration(59s), Duration(100min),
                                  Duration(36h), Duration(400 * 24h), Duration(365 * 24h + 1us)}) {
    CAPTURE(duration.count());
    CHECK(parse_duration(to_text(duration)) == duration);
  }
}

TEST_CASE("seconds keeps fractions") {
  CHECK(seconds(1500ms) == doctest::Approx(1.5));
}
