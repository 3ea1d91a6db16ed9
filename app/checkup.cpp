#include "app/checkup.hpp"

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <sstream>

#include "app/output.hpp"
#include "base/printable.hpp"

namespace csrq::app {
namespace {

constexpr int subject_width = 16;
/// Chains are checked with ± 5 minutes.
constexpr Duration tolerable_skew = std::chrono::seconds(30);

bool is_out_of_reach(const Failure& failure) {
  return failure.failure_class == FailureClass::transient && failure.code != ErrorCode::bad_directory;
}

}  // namespace

void Checkup::ok(const std::string& subject, const std::string& found) {
  add({"ok", subject, found, {}});
}

void Checkup::warn(const std::string& subject, const std::string& found, const std::string& remedy) {
  add({"WARN", subject, found, remedy});
}

void Checkup::fail(const std::string& subject, const std::string& found, const std::string& remedy,
                   Exit code) {
  code_ = std::max(code_, code);
  add({"FAIL", subject, found, remedy});
}

void Checkup::guard(const std::string& subject, const std::function<void()>& check) {
  try {
    check();
  } catch (const UsageError& error) {
    std::istringstream lines(error.what());
    for (std::string line; std::getline(lines, line);) fail(subject, line, {});
  } catch (const Unreachable& error) {
    fail(subject, error.what(), {}, Exit::unreachable);
  } catch (const Error& error) {
    fail(subject, error.what(), {}, is_out_of_reach(error.failure()) ? Exit::unreachable : Exit::usage);
  }
}

/// Found and remedy may be in words of a CA.
void Checkup::add(Finding finding) {
  finding.found = printable(finding.found);
  finding.remedy = printable(finding.remedy);
  if (!as_json_) {
    char start[64];
    std::snprintf(start, sizeof start, "%-5s %-*s ", finding.level, subject_width, finding.subject.c_str());
    std::string text = finding.found;
    if (!finding.remedy.empty()) text += "\n" + std::string(subject_width + 7, ' ') + "→ " + finding.remedy;
    std::cout << start << text << "\n" << std::flush;
  }
  findings_.push_back(std::move(finding));
}

Exit Checkup::conclude() const {
  if (!as_json_) return code_;
  std::vector<reports::Json> checks;
  for (const Finding& finding : findings_) {
    const bool bad = finding.level == std::string_view("FAIL");
    const char* level = bad ? "failure" : finding.level == std::string_view("WARN") ? "warning" : "ok";
    reports::JsonObject check{{"level", level}, {"subject", finding.subject}, {"found", finding.found}};
    if (!finding.remedy.empty()) check.add("remedy", finding.remedy);
    checks.push_back(check.json());
  }
  print(reports::JsonObject{{"ok", code_ == Exit::done}, {"checks", reports::array_of(checks)}}.json());
  return code_;
}

void check_clock(Checkup& checkup, const std::string& subject, const std::string& whose, Duration skew) {
  const Duration apart = std::chrono::abs(skew);
  if (apart <= tolerable_skew) return checkup.ok(subject, whose + " and this machine's agree");
  const std::string by = to_text(std::chrono::round<std::chrono::seconds>(apart));
  checkup.warn(subject,
               whose + " is " + by + (skew > Duration{} ? " ahead of" : " behind") + " this machine's",
               "set both by NTP: chains that are not valid yet, or no more, are refused");
}

}  // namespace csrq::app
