#include "acme/refusal_rules.hpp"

#include <doctest/doctest.h>

#include <fstream>
#include <iterator>
#include <string>

#include "support/folders.hpp"

using namespace csrq;
using namespace csrq::acme;

namespace {

std::string read_file(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string line_of(const RefusalRule& rule) {
  return "| " + std::string(rule.request ? to_string(*rule.request) : "any") + " | " +
         std::string(rule.answers) + " | " + std::string(to_string(rule.failure_class)) + " | " +
         std::string(rule.consequence) + " |\n";
}

}  // namespace

TEST_CASE("docs/operating.md prints the rules by which refusals are judged, all of them, in their order") {
  std::string table = "| refused | answer | class | what csrq does |\n|---|---|---|---|\n";
  for (const RefusalRule& rule : refusal_rules()) table += line_of(rule);
  const std::string docs = read_file(test::source_folder() / "docs/operating.md");
  const bool is_printed = docs.find(table + "\n") != std::string::npos;
  CHECK_MESSAGE(is_printed, "it should have these lines:\n" << table);
}

TEST_CASE("the last rule fits every answer to every request") {
  const RefusalRule& last = refusal_rules().back();
  CHECK_FALSE(last.request);
  CHECK(last.answers == "anything else");
  CHECK(last.failure_class == FailureClass::transient);
}
