#include "http/retry_after.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <optional>
#include <string>

using namespace std::chrono_literals;
using csrq::Duration;
using csrq::http::parse_retry_after;

namespace {

/// "Sun, 06 Nov 1994 08:49:37 GMT", the example of RFC 9110 §5.6.7.
constexpr csrq::Time example{784111777s};
constexpr Duration longest = std::chrono::hours(24 * 7);

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
  CHECK(parse_retry_after("Wed Nov 16 08:49:37 1994", example) == longest);
  CHECK(parse_retry_after("Wed Nov 16 08:49:37 1994", example + 240h - 90s) == Duration(90s));
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

TEST_CASE("days are waited for, more than 7 of them are cut to 7 days") {
  CHECK(parse_retry_after("86400", example) == Duration(24h));
  CHECK(parse_retry_after("94621", example) == Duration(94621s));
  CHECK(parse_retry_after("604799", example) == longest - 1s);
  CHECK(parse_retry_after("604800", example) == longest);
  CHECK(parse_retry_after("604801", example) == longest);
  CHECK(parse_retry_after("9223372036854775807", example) == longest);
  CHECK(parse_retry_after("9223372036854775808", example) == longest);
  CHECK(parse_retry_after(std::string(10'000, '9'), example) == longest);
  CHECK(parse_retry_after("Sun, 13 Nov 1994 08:49:38 GMT", example) == longest);
  CHECK(parse_retry_after("Fri, 31 Dec 9999 23:59:59 GMT", example) == longest);
}

TEST_CASE("of several Retry-After headers the longest counts, and those that cannot be read do not") {
  const auto retry_after = [](const csrq::http::Headers& headers) {
    return csrq::http::retry_after_of({.status = 503, .headers = headers}, example);
  };
  CHECK(retry_after({}) == std::nullopt);
  CHECK(retry_after({{"retry-after", "5"}}) == Duration(5s));
  CHECK(retry_after({{"retry-after", "0"}}) == Duration(0));
  CHECK(retry_after({{"retry-after", "5"}, {"server", "x"}, {"retry-after", "60"}, {"retry-after", "7"}}) ==
        Duration(60s));
  CHECK(retry_after({{"retry-after", "soon"}, {"retry-after", "Sun, 06 Nov 1994 08:51:07 GMT"}}) ==
        Duration(90s));
  CHECK(retry_after({{"retry-after", "5, 60"}}) == std::nullopt);
  CHECK(retry_after({{"retry-after", "-5"}, {"retry-after", ""}}) == std::nullopt);
}

TEST_CASE("an HTTP-date is read whether it is ahead or behind") {
  CHECK(csrq::http::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT", example + 24h) == example);
  CHECK(csrq::http::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT", example - 1000h) == example);
  CHECK(csrq::http::parse_http_date("120", example) == std::nullopt);
}

TEST_CASE("a date counts from the answer's own Date, whatever time it is here") {
  csrq::http::Response response;
  response.headers = {{"retry-after", "Sun, 06 Nov 1994 08:51:07 GMT"}};
  CHECK(csrq::http::retry_after_of(response, example) == Duration(90s));
  response.headers.emplace_back("date", "Sun, 06 Nov 1994 08:49:37 GMT");
  CHECK(csrq::http::retry_after_of(response, example + 2h) == Duration(90s));
  CHECK(csrq::http::retry_after_of(response, example - 2h) == Duration(90s));
}

TEST_CASE("nonsense and negative numbers are nothing") {
  for (const char* text : {"",
                           " ",
                           "-1",
                           "+1",
                           "1.5",
                           "1s",
                           "0x10",
                           "-99999999999999999999999999",
                           "1e9",
                           "\xc2\xb2",
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
