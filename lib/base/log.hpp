#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

/// Structured log lines on stderr: a fixed sentence and named values, as text or as one JSON object a line.
/// Thread-safe. Never hand a secret over: types that hold one (Secret) do not convert.
namespace csrq::log {

enum class Level { debug, info, warning, error };
enum class Format { text, json };

/// Values are written as they are; control characters are escaped, so that a hostile answer cannot forge a
/// line.
class Value {
 public:
  Value(std::string_view text) : text_(text) {}
  Value(const std::string& text) : text_(text) {}
  Value(const char* text) : text_(text) {}
  template <class Number>
    requires std::is_arithmetic_v<Number>
  Value(Number number) : text_(std::to_string(number)) {}
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};
using Fields = std::initializer_list<std::pair<std::string_view, Value>>;

/// Called once at start (and again on SIGHUP).
void configure(Level level, Format format);

void debug(std::string_view message, Fields fields = {});
void info(std::string_view message, Fields fields = {});
void warning(std::string_view message, Fields fields = {});
void error(std::string_view message, Fields fields = {});

}  // namespace csrq::log
