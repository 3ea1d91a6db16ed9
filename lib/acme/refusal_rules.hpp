#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "acme/problem.hpp"
#include "acme/request_kind.hpp"
#include "base/error.hpp"

namespace csrq::acme {

/// One case: which answer to which request is of which class. docs/operating.md prints these lines; a test
/// compares the two.
struct RefusalRule {
  std::optional<RequestKind> request{};  ///< nothing: any
  /// Separated by commas: ACME types, statuses ("404", "5xx"), or one of the phrases that refusal_rules.cpp
  /// knows ("no ACME problem", "anything else").
  std::string_view answers{};
  FailureClass failure_class{};
  std::string_view consequence{};
};

/// In their order: the first that fits decides, and one always does.
std::span<const RefusalRule> refusal_rules();

/// The rule for a problem that is not compound. `is_busy`: the answer was a 503 that says when to come back.
const RefusalRule& rule_for(const Problem& problem, RequestKind request, bool is_busy = false);

}  // namespace csrq::acme
