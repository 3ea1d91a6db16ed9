#include "base/time.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>

namespace csrq {
namespace {

using namespace std::chrono_literals;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// Reads a text from its front; after the first thing that is not as expected, `ok()` is false for good.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {}
  bool ok() const { return ok_; }
  bool at_end() const { return rest_.empty(); }

  /// Exactly `width` digits.
  int number(std::size_t width) {
    int value = 0;
    for (std::size_t i = 0; i < width; ++i) {
      if (rest_.empty() || !is_digit(rest_.front())) return refuse();
      value = value * 10 + (rest_.front() - '0');
      rest_.remove_prefix(1);
    }
    return value;
  }
  /// One character of `any`; '\0' if there is none.
  char one_of(std::string_view any) {
    if (rest_.empty() || any.find(rest_.front()) == std::string_view::npos)
      return static_cast<char>(refuse());
    const char found = rest_.front();
    rest_.remove_prefix(1);
    return found;
  }
  bool skip(char c) {
    if (!rest_.starts_with(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }
  std::string_view digits() {
    std::size_t count = 0;
    while (count < rest_.size() && is_digit(rest_[count])) ++count;
    const std::string_view found = rest_.substr(0, count);
    if (found.empty()) refuse();
    rest_.remove_prefix(count);
    return found;
  }

 private:
  int refuse() {
    ok_ = false;
    return 0;
  }

  std::string_view rest_;
  bool ok_{true};
};

/// "25" after the point → 250 ms; digits beyond the sixth are cut off.
Duration fraction_of_second(std::string_view digits) {
  std::int64_t microseconds = 0;
  for (std::size_t i = 0; i < 6; ++i)
    microseconds = microseconds * 10 + (i < digits.size() ? digits[i] - '0' : 0);
  return Duration(microseconds);
}

std::chrono::minutes utc_offset(Scanner& scanner) {
  const char sign = scanner.one_of("Zz+-");
  if (sign != '+' && sign != '-') return 0min;
  const int hours = scanner.number(2);
  scanner.one_of(":");
  const int minutes = scanner.number(2);
  if (hours > 23 || minutes > 59) scanner.one_of("");
  const auto offset = std::chrono::hours(hours) + std::chrono::minutes(minutes);
  return sign == '-' ? -offset : offset;
}

// What PostgreSQL and RFC 3339 both can write: PostgreSQL has no year 0, RFC 3339 no fifth digit.
constexpr Time earliest{std::chrono::sys_days(std::chrono::year(1) / 1 / 1)};
constexpr Time latest{std::chrono::sys_days(std::chrono::year(10000) / 1 / 1)};

struct Unit {
  std::string_view name;
  Duration length;
};
// Longest first: to_text takes the first that divides a duration.
constexpr std::array units{Unit{"y", std::chrono::hours(365 * 24)},
                           Unit{"d", std::chrono::hours(24)},
                           Unit{"h", 1h},
                           Unit{"m", 1min},
                           Unit{"s", 1s},
                           Unit{"ms", 1ms}};

}  // namespace

Time now() {
  return std::chrono::floor<Duration>(std::chrono::system_clock::now());
}

std::optional<Time> parse_rfc3339(std::string_view text) {
  Scanner scanner(text);
  const int year = scanner.number(4);
  scanner.one_of("-");
  const int month = scanner.number(2);
  scanner.one_of("-");
  const int day = scanner.number(2);
  scanner.one_of("Tt");
  const int hour = scanner.number(2);
  scanner.one_of(":");
  const int minute = scanner.number(2);
  scanner.one_of(":");
  const int second = scanner.number(2);
  const Duration fraction = scanner.skip('.') ? fraction_of_second(scanner.digits()) : Duration{};
  const auto offset = utc_offset(scanner);

  const std::chrono::year_month_day date{std::chrono::year(year),
                                         std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  // 60 is a leap second (RFC 3339 §5.7), which this clock does not have: it is the next minute's first.
  if (!scanner.ok() || !scanner.at_end() || !date.ok() || hour > 23 || minute > 59 || second > 60)
    return std::nullopt;
  const Time time = std::chrono::sys_days(date) + std::chrono::hours(hour) + std::chrono::minutes(minute) +
                    std::chrono::seconds(second) + fraction - offset;
  return time < earliest || time >= latest ? std::nullopt : std::optional(time);
}

std::string to_rfc3339(Time time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(std::chrono::floor<std::chrono::seconds>(time - day));
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     clock.hours().count(), clock.minutes().count(), clock.seconds().count());
}

std::optional<Duration> parse_duration(std::string_view text) {
  const std::size_t end = text.find_first_not_of("0123456789.");
  if (end == std::string_view::npos || !is_digit(text.front()) || !is_digit(text[end - 1]))
    return std::nullopt;
  double number = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + end, number);
  if (error != std::errc{} || stop != text.data() + end) return std::nullopt;
  for (const Unit& unit : units) {
    if (unit.name != text.substr(end)) continue;
    const double microseconds = number * static_cast<double>(unit.length.count());
    // 2^53: beyond it a double no longer tells one microsecond from the next (285 years).
    if (microseconds > 9007199254740992.0) return std::nullopt;
    return Duration(std::llround(microseconds));
  }
  return std::nullopt;
}

std::string to_text(Duration duration) {
  if (duration == Duration{}) return "0s";
  for (const Unit& unit : units)
    if (duration % unit.length == Duration{}) return fmt::format("{}{}", duration / unit.length, unit.name);
  return fmt::format("{}ms", static_cast<double>(duration.count()) / 1000.0);
}

}  // namespace csrq
