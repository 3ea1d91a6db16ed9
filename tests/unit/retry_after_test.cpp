#include "http/retry_after.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <optional>

using namespace std::chrono_literals;
using csrq::Duration;
using csrq::http::parse_retry_after;

namespace {

/// "Sun, 06 Nov 1994 08:49:37 GMT", the example of RFC 9110 §5.6.7.
constexpr csrq::Time example{784111777s};
constexpr Duration longest = std::chrono::hours(24 * 366);

}  // namespace

TEST_CASE("parse_retry_after reads seconds") {
  CHECK(parse_retry_after("0", example) == Duration(0));
  CHECK(parse_retry_after("120", example) == Duration(120s));
  CHECK(parse_retry_after(" 007\t", example) == Duration(7s));
}

TEST_CASE("parse_retry_after reads all three forms of an HTTP-date") {
  CHECK(parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", example - 90s) == Duration(90s));
  CHECK(parse_retry_after("Sunday, 06-Nov-94 08:49:37 GMT", example - 90s) == Duration(90s));
  CHECK(parse_retry_after("Sun Nov  6 08:49:37 1994", example - 90s) == Duration(90s));
  CHECK(parse_retry_after("Wed Nov 16 08:49:37 1994", example) == Duration(240h));
  CHECK(parse_retry_after("Sun, 06 Nov 1994 08:49:60 GMT", example) == Duration(23s));
}

TEST_CASE("a date in the past, or now, asks for no wait") {
  CHECK(parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", example) == Duration(0));
  CHECK(parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", example + 1s) == Duration(0));
  CHECK(parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", example + 1h) == Duration(0));
}

TEST_CASE("a two-digit year is at most 50 years ahead") {
  const csrq::Time in_2026 = std::chrono::sys_days(std::chrono::year(2026) / 11 / 23);
  CHECK(parse_retry_after("Tuesday, 24-Nov-26 00:00:00 GMT", in_2026) == Duration(24h));
  CHECK(parse_retry_after("Monday, 23-Nov-76 00:00:00 GMT", in_2026) == longest);
  CHECK(parse_retry_after("Wednesday, 23-Nov-77 00:00:00 GMT", in_2026) == Duration(0));
}

TEST_CASE("more than 366 days are cut to 366 days") {
  CHECK(parse_retry_after("31622400", example) == longest);
  CHECK(parse_retry_after("31622401", example) == longest);
  CHECK(parse_retry_after("9223372036854775807", example) == longest);
  CHECK(parse_retry_after("Fri, 31 Dec 9999 23:59:59 GMT", example) == longest);
}

TEST_CASE("nonsense, negative numbers and overflow are nothing") {
  for (const char* text : {"",
                           " ",
                           "-1",
                           "+1",
                           "1.5",
                           "1s",
                           "0x10",
                           "9223372036854775808",
                           "99999999999999999999999999",
                           "soon",
                           "Sun, 06 Nov 1994 08:49:37",
                           "Sun, 06 Nov 1994 08:49:37 CET",
                           "Sun, 6 Nov 1994 08:49:37 GMT",
                           "Sun, 06 Now 1994 08:49:37 GMT",
                           "Sun, 31 Nov 1994 08:49:37 GMT",
                           "Sun, 06 Nov 1994 24:00:00 GMT",
                           "Sun, 06 Nov 1994 08:60:00 GMT",
                           "Sun, 06 Nov 1994 08:49:37 GMT x",
                           "Sunday, 06 Nov 1994 08:49:37 GMT",
                           "Sun, 06-Nov-94 08:49:37 GMT",
                           "Sun Nov 6 08:49:37 1994",
                           "06 Nov 1994 08:49:37 GMT",
                           "Sun, ",
                           "Sun"}) {
    CAPTURE(text);
    CHECK(parse_retry_after(text, example) == std::nullopt);
  }
}
