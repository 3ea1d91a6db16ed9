#include "base/log.hpp"

#include <fmt/format.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <atomic>
#include <cstddef>
#include <memory>

#include <nlohmann/json.hpp>

#include "base/log_line.hpp"
#include "base/printable.hpp"
#include "base/time.hpp"

namespace csrq::log {
namespace {

std::atomic<Level> lowest_level{Level::info};
std::atomic<Format> line_format{Format::text};

std::string_view name_of(Level level) {
  switch (level) {
    case Level::debug:
      return "debug";
    case Level::info:
      return "info";
    case Level::warning:
      return "warning";
    case Level::error:
      return "error";
  }
  return "error";
}

std::string timestamp(Time time) {
  const auto part =
      std::chrono::floor<std::chrono::milliseconds>(time) - std::chrono::floor<std::chrono::seconds>(time);
  std::string text = to_rfc3339(time);
  text.pop_back();
  return fmt::format("{}.{:03}Z", text, part.count());
}

void append_escaped(std::string& line, std::string_view text, bool quoted) {
  while (!text.empty()) {
    std::size_t length = printable_length(text);
    if (text.front() == '\n') {
      line += "\\n";
    } else if (length == 0) {
      line += fmt::format("\\x{:02x}", static_cast<unsigned char>(text.front()));
    } else {
      if (quoted && (text.front() == '"' || text.front() == '\\')) line += '\\';
      line += text.substr(0, length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
}

void append_value(std::string& line, std::string_view value) {
  const bool quoted = value.empty() || value.find_first_of(" =\"\\") != std::string_view::npos;
  if (quoted) line += '"';
  append_escaped(line, value, quoted);
  if (quoted) line += '"';
}

/// Never destroyed: threads and static objects may write until the very end.
spdlog::logger& standard_error() {
  static spdlog::logger& logger = []() -> spdlog::logger& {
    auto* made = new spdlog::logger("csrq", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("%v");
    made->set_level(spdlog::level::trace);
    return *made;
  }();
  return logger;
}

void write(Level level, std::string_view message, Fields fields) {
  if (level < lowest_level.load(std::memory_order_relaxed)) return;
  const bool json = line_format.load(std::memory_order_relaxed) == Format::json;
  const std::string line =
      json ? json_line(level, now(), message, fields) : text_line(level, now(), message, fields);
  standard_error().log(spdlog::level::info, spdlog::string_view_t(line.data(), line.size()));
}

}  // namespace

std::string text_line(Level level, Time time, std::string_view message, Fields fields) {
  std::string line = fmt::format("{} {:<7} ", timestamp(time), name_of(level));
  append_escaped(line, message, false);
  for (const auto& [name, value] : fields) {
    line += ' ';
    line += name;
    line += '=';
    append_value(line, value.text());
  }
  return line;
}

std::string json_line(Level level, Time time, std::string_view message, Fields fields) {
  nlohmann::ordered_json line{{"time", timestamp(time)}, {"level", name_of(level)}, {"message", message}};
  for (const auto& [name, value] : fields) line.emplace(std::string(name), value.text());
  return line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

void configure(Level level, Format format) {
  lowest_level.store(level, std::memory_order_relaxed);
  line_format.store(format, std::memory_order_relaxed);
}

void debug(std::string_view message, Fields fields) {
  write(Level::debug, message, fields);
}
void info(std::string_view message, Fields fields) {
  write(Level::info, message, fields);
}
void warning(std::string_view message, Fields fields) {
  write(Level::warning, message, fields);
}
void error(std::string_view message, Fields fields) {
  write(Level::error, message, fields);
}

}  // namespace csrq::log
