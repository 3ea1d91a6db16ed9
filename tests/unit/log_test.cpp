#include "base/log.hpp"

#include <doctest/doctest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/log_line.hpp"
#include "base/secret.hpp"

using namespace csrq;
using namespace csrq::log;
using namespace std::chrono_literals;

namespace {

constexpr Time noon = std::chrono::sys_days(2026y / 11 / 23) + 12h + 7ms;

/// What this process writes to stderr while the object lives, kept in memory.
class CapturedStderr {
 public:
  CapturedStderr() : memory_(memfd_create("stderr", 0)), stderr_(dup(STDERR_FILENO)) {
    REQUIRE(dup2(memory_, STDERR_FILENO) >= 0);
  }
  CapturedStderr(const CapturedStderr&) = delete;
  CapturedStderr& operator=(const CapturedStderr&) = delete;
  ~CapturedStderr() {
    dup2(stderr_, STDERR_FILENO);
    close(stderr_);
    close(memory_);
    configure(Level::info, Format::text);
  }
  std::vector<std::string> lines() const {
    std::string text(static_cast<std::size_t>(lseek(memory_, 0, SEEK_END)), '\0');
    const ssize_t size = pread(memory_, text.data(), text.size(), 0);
    REQUIRE(size == static_cast<ssize_t>(text.size()));
    std::vector<std::string> lines;
    for (std::size_t end = 0; (end = text.find('\n')) != std::string::npos; text.erase(0, end + 1))
      lines.push_back(text.substr(0, end));
    CHECK(text.empty());
    return lines;
  }

 private:
  int memory_;
  int stderr_;
};

std::string text_of(std::string_view value) {
  const std::string line = text_line(Level::info, noon, "m", {{"v", value}});
  return line.substr(line.find("v=") + 2);
}

}  // namespace

TEST_CASE("A line of text has time, level, sentence and named values") {
  CHECK(text_line(Level::info, noon, "issued", {{"request", 17}, {"name", "a.example.org"}}) ==
        "2026-11-23T12:00:00.007Z info    issued request=17 name=a.example.org");
  CHECK(text_line(Level::warning, noon, "the CA is slow", {}) ==
        "2026-11-23T12:00:00.007Z warning the CA is slow");
}

TEST_CASE("A value is put in quotes if it could be mistaken for more than one") {
  CHECK(text_of("") == R"("")");
  CHECK(text_of("two words") == R"("two words")");
  CHECK(text_of("a=b") == R"("a=b")");
  CHECK(text_of(R"(say "hi")") == R"("say \"hi\"")");
  CHECK(text_of(R"(a\nb)") == R"("a\\nb")");
  CHECK(text_of("plain-value_1.0/x:y") == "plain-value_1.0/x:y");
}

TEST_CASE("A line of text cannot be forged or disturb a terminal") {
  CHECK(text_of("a\nb") == R"(a\nb)");
  CHECK(text_of("a\r\x1b[31m") == R"(a\x0d\x1b[31m)");
  CHECK(text_of(std::string("a\0b", 3)) == R"(a\x00b)");
  CHECK(text_of("\x7f") == R"(\x7f)");
  CHECK(text_of("\xc2\x85") == R"(\xc2\x85)");                  // NEL, a C1 control
  CHECK(text_of("\xe2\x80\xa8") == R"(\xe2\x80\xa8)");          // line separator
  CHECK(text_of("\xe2\x80\xae") == R"(\xe2\x80\xae)");          // right-to-left override
  CHECK(text_of("\xff") == R"(\xff)");                          // never in UTF-8
  CHECK(text_of("\xc0\x8a") == R"(\xc0\x8a)");                  // overlong line feed
  CHECK(text_of("\xed\xa0\x80") == R"(\xed\xa0\x80)");          // surrogate
  CHECK(text_of("\xe2\x82") == R"(\xe2\x82)");                  // cut off
  CHECK(text_of("\xf4\x90\x80\x80") == R"(\xf4\x90\x80\x80)");  // beyond Unicode
  CHECK(text_of("B\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80") == "B\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80");
  CHECK(text_line(Level::error, noon, "a\nb", {}) == R"(2026-11-23T12:00:00.007Z error   a\nb)");
}

TEST_CASE("A line of JSON is one object of strings, in the order given") {
  CHECK(
      json_line(Level::error, noon, "failed", {{"request", 17}, {"detail", "a\n\"b\""}}) ==
      R"({"time":"2026-11-23T12:00:00.007Z","level":"error","message":"failed","request":"17","detail":"a\n\"b\""})");
}

TEST_CASE("A line of JSON stays valid whatever a value holds") {
  const auto line =
      nlohmann::json::parse(json_line(Level::info, noon, "m", {{"v", "a\xff"}, {"level", "forged"}}));
  CHECK(line["v"] == "a\xef\xbf\xbd");
  CHECK(line["level"] == "info");
}

TEST_CASE("Lines below the configured level are not written") {
  const CapturedStderr captured;
  configure(Level::warning, Format::text);
  debug("one");
  info("two");
  warning("three");
  error("four");
  const auto lines = captured.lines();
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].ends_with(" warning three"));
  CHECK(lines[1].ends_with(" error   four"));
}

TEST_CASE("The format can be changed while the process runs") {
  const CapturedStderr captured;
  configure(Level::debug, Format::json);
  debug("one {}", {{"percent", "%v"}});
  configure(Level::debug, Format::text);
  debug("two {}");
  const auto lines = captured.lines();
  REQUIRE(lines.size() == 2);
  const auto line = nlohmann::json::parse(lines[0]);
  CHECK(line["message"] == "one {}");
  CHECK(line["percent"] == "%v");
  CHECK(lines[1].ends_with(" debug   two {}"));
}

TEST_CASE("Lines of several threads do not mix") {
  const CapturedStderr captured;
  const std::string value(200, 'x');
  {
    std::array<std::jthread, 4> threads;
    for (auto& thread : threads)
      thread = std::jthread([&value] {
        for (int i = 0; i < 50; ++i) info("line", {{"v", value}});
      });
  }
  const auto lines = captured.lines();
  CHECK(lines.size() == 200);
  for (const auto& line : lines) CHECK(line.ends_with(" info    line v=" + value));
}

TEST_CASE("A secret does not convert to a value") {
  CHECK_FALSE(std::is_convertible_v<Secret, Value>);
}
