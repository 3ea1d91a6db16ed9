#include "http/retry_after.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <limits>
#include <string>

#include "http/text.hpp"

namespace csrq::http {

namespace {

constexpr std::array<std::string_view, 12> months{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                  "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
constexpr std::array<std::string_view, 7> days{"Sunday",   "Monday", "Tuesday", "Wednesday",
                                               "Thursday", "Friday", "Saturday"};

bool is_number(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

/// The largest one there is, if it overflows.
template <class Number>
std::optional<Number> number(std::string_view digits) {
  if (!is_number(digits)) return std::nullopt;
  Number value{};
  const std::errc error = std::from_chars(digits.data(), digits.data() + digits.size(), value).ec;
  return error == std::errc() ? value : std::numeric_limits<Number>::max();
}

/// Takes the fields of a date one after the other; any that does not fit makes the whole date unreadable.
class DateReader {
 public:
  explicit DateReader(std::string_view text) : text_(text) {}

  bool finished() const { return good_ && text_.empty(); }

  bool take(std::string_view literal) {
    if (!text_.starts_with(literal)) return false;
    text_.remove_prefix(literal.size());
    return true;
  }
  void expect(std::string_view literal) { good_ = take(literal) && good_; }

  int digits(std::size_t count) {
    const std::optional<int> value = number<int>(text_.substr(0, count));
    good_ = good_ && text_.size() >= count && value;
    text_.remove_prefix(std::min(count, text_.size()));
    return value.value_or(0);
  }

  unsigned month() {
    for (unsigned index = 0; index < months.size(); ++index)
      if (take(months[index])) return index + 1;
    good_ = false;
    return 1;
  }

  std::chrono::seconds time_of_day() {
    const int hour = digits(2);
    expect(":");
    const int minute = digits(2);
    expect(":");
    const int second = digits(2);
    good_ = good_ && hour < 24 && minute < 60 && second <= 60;  // 60: a leap second
    return std::chrono::hours(hour) + std::chrono::minutes(minute) + std::chrono::seconds(second);
  }

 private:
  std::string_view text_;
  bool good_{true};
};

std::optional<Time> instant(const DateReader& reader, int year, unsigned month, int day,
                            std::chrono::seconds time_of_day) {
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(month),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!reader.finished() || !date.ok()) return std::nullopt;
  return Time(std::chrono::sys_days(date) + time_of_day);
}

/// "Sun, 06 Nov 1994 08:49:37 GMT", after the day's name and the comma.
std::optional<Time> imf_fixdate(DateReader reader) {
  reader.expect(" ");
  const int day = reader.digits(2);
  reader.expect(" ");
  const unsigned month = reader.month();
  reader.expect(" ");
  const int year = reader.digits(4);
  reader.expect(" ");
  const std::chrono::seconds time = reader.time_of_day();
  reader.expect(" GMT");
  return instant(reader, year, month, day, time);
}

/// "Sunday, 06-Nov-94 08:49:37 GMT". A year more than 50 years ahead is one of the century before (RFC 9110
/// §5.6.7).
std::optional<Time> rfc850_date(DateReader reader, Time now) {
  reader.expect(" ");
  const int day = reader.digits(2);
  reader.expect("-");
  const unsigned month = reader.month();
  reader.expect("-");
  const int short_year = reader.digits(2);
  reader.expect(" ");
  const std::chrono::seconds time = reader.time_of_day();
  reader.expect(" GMT");

  const std::chrono::year_month_day today{std::chrono::floor<std::chrono::days>(now)};
  const int this_year = static_cast<int>(today.year());
  int year = this_year - this_year % 100 + short_year;
  if (year > this_year + 50) year -= 100;
  return instant(reader, year, month, day, time);
}

/// "Sun Nov  6 08:49:37 1994", after the day's name.
std::optional<Time> asctime_date(DateReader reader) {
  reader.expect(" ");
  const unsigned month = reader.month();
  reader.expect(" ");
  const int day = reader.take(" ") ? reader.digits(1) : reader.digits(2);
  reader.expect(" ");
  const std::chrono::seconds time = reader.time_of_day();
  reader.expect(" ");
  const int year = reader.digits(4);
  return instant(reader, year, month, day, time);
}

}  // namespace

std::optional<Time> parse_http_date(std::string_view text, Time now) {
  DateReader reader(text);
  for (std::string_view name : days) {
    if (reader.take(name)) {
      reader.expect(",");
      return rfc850_date(reader, now);
    }
    if (reader.take(name.substr(0, 3))) return reader.take(",") ? imf_fixdate(reader) : asctime_date(reader);
  }
  return std::nullopt;
}

std::optional<Duration> parse_retry_after(std::string_view value, Time now) {
  const std::string_view text = trimmed(value);
  if (const std::optional<std::int64_t> delay = number<std::int64_t>(text)) {
    constexpr auto longest = std::chrono::duration_cast<std::chrono::seconds>(longest_retry_after);
    return std::chrono::seconds(std::min<std::int64_t>(*delay, longest.count()));
  }
  const std::optional<Time> date = parse_http_date(text, now);
  if (!date) return std::nullopt;
  return std::clamp<Duration>(*date - now, Duration::zero(), longest_retry_after);
}

std::optional<Duration> retry_after_of(const Response& response, Time now) {
  const Time sent = parse_http_date(response.header("date"), now).value_or(now);
  std::optional<Duration> longest;
  for (const std::string& value : response.headers_named("retry-after"))
    longest = std::max(longest, parse_retry_after(value, sent));  // nothing is less than anything
  return longest;
}

}  // namespace csrq::http
